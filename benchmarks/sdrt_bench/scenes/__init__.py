"""The scenes that the embedded model paints: grammar, words, pictures, and what a picture shows."""
