"""What a caller asks for: options, checked and completed into a frozen request."""
