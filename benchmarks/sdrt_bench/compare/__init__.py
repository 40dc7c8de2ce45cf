"""`sdrt compare`: precisions side by side, from the same noise."""
