"""Benchmarks of what state-space models learn."""
