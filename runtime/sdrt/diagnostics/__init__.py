"""Checks of models, machines and results, apart from what generates."""
