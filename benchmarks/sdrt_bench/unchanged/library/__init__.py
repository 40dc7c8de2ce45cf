"""What only the Python interface has: cases that run inside the interpreter under test.

This package is imported by that interpreter, from the tree of whoever records. It imports numpy,
Pillow and the public names of sdrt, and nothing else of the project.
"""
