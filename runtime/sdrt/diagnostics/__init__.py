"""Checks of models, machines and results; nothing here takes part in a generation."""
