"""`sdrt tune`: the settings that come closest to the converged picture in a given time."""
