"""Pixels and files: PNG with parameters, grids, latent previews."""
