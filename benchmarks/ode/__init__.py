"""Neural ODEs: what a training step costs, how it grows, and what an error costs."""
