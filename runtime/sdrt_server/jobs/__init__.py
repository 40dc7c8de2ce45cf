"""Jobs: what is made, in which order, and what became of it."""
