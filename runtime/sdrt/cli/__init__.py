"""Commands that need a file of their own; the others are in `sdrt.cli`."""
