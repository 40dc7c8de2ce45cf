"""Exchange of model folders with other tools, and comparison of the images."""
