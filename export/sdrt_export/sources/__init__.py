"""Where weights come from: diffusers folders, single files, the hub, random numbers."""
