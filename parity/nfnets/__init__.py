"""Normalizer-Free Networks in plain JAX: a restatement of the papers' formulas, for comparison with nfgrad."""
