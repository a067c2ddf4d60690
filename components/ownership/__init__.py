"""Whose Sovereign it is: the mark by which a state knows its own."""
