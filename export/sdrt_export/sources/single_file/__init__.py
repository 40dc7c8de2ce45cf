"""Single-file checkpoints in the naming of the original latent-diffusion code (LDM)."""
