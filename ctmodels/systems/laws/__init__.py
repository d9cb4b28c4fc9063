"""The laws of the catalogue, by kind: one function each, equation and parameters as in the literature cited."""
