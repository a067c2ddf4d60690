"""What is done and not declared: commands that a person runs once."""
