"""The alerts, one file for each of their subjects. Pure."""
