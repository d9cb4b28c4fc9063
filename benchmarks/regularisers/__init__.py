"""Regularisers: what they add to a step, and the reproductions of the papers' tables."""
