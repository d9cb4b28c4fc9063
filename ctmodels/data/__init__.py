"""Readers of data files, and the real series that come with the library."""

from ctmodels.data._bundled import (
    bundled_path as bundled_path,
    co2 as co2,
    lynx_hare as lynx_hare,
    sunspots as sunspots,
)
from ctmodels.data._csv import Table as Table, read_csv as read_csv
