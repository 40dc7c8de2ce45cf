"""Charts: lines, bars and scatter plots."""
