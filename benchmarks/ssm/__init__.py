"""Benchmarks of state-space layers."""
