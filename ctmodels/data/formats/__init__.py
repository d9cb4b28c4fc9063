"""Readers, one for each format, and what they share."""
