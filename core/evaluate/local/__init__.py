"""Models that run on this machine: what they read, how likely texts are to them, what they answer."""
