"""Figures of what the library takes and makes: `matplotlib` is imported when one is drawn."""
