"""What all routes share: the gate in front of them, errors, streams, pictures."""
