"""Stand-ins for operators that cannot be had here. Each says in its name what it stands for."""
