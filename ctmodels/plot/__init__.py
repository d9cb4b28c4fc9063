"""Figures of what the library takes and makes: `matplotlib` is imported when one is drawn."""

from ctmodels.plot._field import field as field, fixed_points as fixed_points
from ctmodels.plot._series import forecast as forecast, series as series
