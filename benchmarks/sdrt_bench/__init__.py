"""Measure latency, memory and fidelity of exported models, and of peers."""
