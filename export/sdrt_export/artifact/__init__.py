"""The folder that export writes, staged and published whole."""
