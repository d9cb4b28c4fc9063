"""Figures of what the library takes and makes: `matplotlib` is imported when one is drawn."""

from ctmodels.plot._field import field as field, fixed_points as fixed_points
from ctmodels.plot._latent import latent as latent
from ctmodels.plot._lead_times import lead_times as lead_times
from ctmodels.plot._lyapunov import lyapunov as lyapunov
from ctmodels.plot._phase_portrait import phase_portrait as phase_portrait
from ctmodels.plot._raster import raster as raster
from ctmodels.plot._residuals import residuals as residuals
from ctmodels.plot._series import forecast as forecast, series as series
from ctmodels.plot._solver_steps import solver_steps as solver_steps
from ctmodels.plot._spectra import spectra as spectra
from ctmodels.plot._terms import terms as terms
