"""Prompt to conditioning: parsing, weights, tokens, embeddings, styles."""
