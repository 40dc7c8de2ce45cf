"""The open model: loaded networks, text encoders, denoiser and autoencoder."""
