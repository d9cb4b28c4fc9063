"""States made of delays, for a system that is seen through a few channels."""

from ctmodels.trajectories._delays import (
    DelayChoice as DelayChoice,
    choose_delay as choose_delay,
    mutual_information as mutual_information,
)
from ctmodels.trajectories._embedding import embed as embed, observed as observed
from ctmodels.trajectories._neighbours import (
    DimensionChoice as DimensionChoice,
    choose_dimension as choose_dimension,
    false_neighbours as false_neighbours,
)
