"""Samplers by name: from pure noise to a picture's latents, in the form x = x0 + sigma * noise.

A sampler asks `denoise(x, sigma)` for the clean latents it should aim at, and yields (x, denoised)
after each step, so that the caller can watch, time or stop it. No sampler knows a network, a
prompt, guidance or a timestep; those that add noise on the way get it from `draw()`.
"""
