"""Retrieval, scored: which definition a figure has, what knowing nothing would give, how sure it is.

Shapes: N volumes of a pool, which are all queries; Q queries; G volumes that can be found; K ranks; L numbers
of a latent; C the 18 findings; M figures; P pairs.
"""
