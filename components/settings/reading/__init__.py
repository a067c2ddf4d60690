"""From the keys of a stack file to settings, or to refusals that name the way out."""
