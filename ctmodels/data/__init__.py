"""Readers of data files, and the real series that come with the library."""

from ctmodels.data._bundled import (
    bundled_path as bundled_path,
    co2 as co2,
    lynx_hare as lynx_hare,
    sunspots as sunspots,
)
from ctmodels.data._rates import condition_psth as condition_psth, gaussian_smoothing as gaussian_smoothing
from ctmodels.data._read import read as read
from ctmodels.data._spikes import bin_spikes as bin_spikes, count_series as count_series
from ctmodels.data._table import Table as Table
from ctmodels.data._trains import Spikes as Spikes
from ctmodels.data._trials import Trials as Trials
from ctmodels.data.formats._csv import read_csv as read_csv
from ctmodels.data.formats._pandas import from_pandas as from_pandas
from ctmodels.data.formats._spikes import spike_times as spike_times
from ctmodels.data.formats._xarray import from_xarray as from_xarray
