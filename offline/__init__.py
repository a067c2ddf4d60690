"""For machines without the official parts only: stand-in plugins and a stand-in chart."""
