"""sdrt's own API, below `/v1`."""
