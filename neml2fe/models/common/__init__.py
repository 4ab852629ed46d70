"""Building blocks that any physics uses."""
