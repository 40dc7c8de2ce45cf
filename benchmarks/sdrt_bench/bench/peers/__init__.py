"""Other tools that run Stable Diffusion on CPUs, measured like ours: same weights, same request."""
