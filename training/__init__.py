"""Training: the encoders are fitted."""
