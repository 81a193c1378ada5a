"""How fast and how complete search, bulk load and evaluation are, beside the bare engines; `make bench`.

Run as `python -m tests.benchmarks`; never collected by pytest, and no time is asserted anywhere. Shapes: N
volumes, S studies, Q queries, L numbers in a latent, C findings.
"""
