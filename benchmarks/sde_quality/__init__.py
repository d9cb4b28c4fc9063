"""What stochastic models learn: laws of paths, drifts and diffusions. A part a file."""
