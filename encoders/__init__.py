"""Encoders: a CT or a report becomes a latent.

Shapes are suffixes: B batch, C channels, D slices or slice groups (depth), H rows, W columns, T text tokens,
N cases, L latent. Axes (D, H, W) increase towards Superior, Left and Posterior.
"""
