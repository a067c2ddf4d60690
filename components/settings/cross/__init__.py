"""What sections ask of each other, each rule in the module of its subject. Pure."""
