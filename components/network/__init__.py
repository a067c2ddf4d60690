"""Who may talk to whom, and how clients reach the registry."""
