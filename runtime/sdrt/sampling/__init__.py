"""Noise, noise levels, guidance and samplers: arithmetic that knows no engine."""
