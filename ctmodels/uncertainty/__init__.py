"""How well the parameters of a law are known."""

from ctmodels.uncertainty._intervals import intervals as intervals
from ctmodels.uncertainty._profile import Profile as Profile, profile as profile
