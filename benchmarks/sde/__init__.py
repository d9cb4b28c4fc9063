"""Neural CDEs and the irregular-data family."""
