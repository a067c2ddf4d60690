"""What is measured: one file a measurement."""
