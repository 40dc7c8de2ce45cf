"""`sdrt bench`: speed, memory and fidelity of every cell of a table, in one run."""
