"""The models that a server has, and what can be added to them."""
