"""`make doctor`: reads a Sovereign side by side, changes nothing, and says what is ill."""
