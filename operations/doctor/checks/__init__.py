"""The doctor's checks: pure functions over what was read, and the table of all of them."""
