"""Layers that carry the past of a series in a state, from row to row over gaps of any length."""

from ctmodels.layers._layer import (
    AbstractLayer as AbstractLayer,
    AbstractStateSpace as AbstractStateSpace,
    label as label,
)
from ctmodels.layers._linoss import LinOSS as LinOSS
from ctmodels.layers._lmu import LMU as LMU
from ctmodels.layers._lmuformer import LMUFormer as LMUFormer
from ctmodels.layers._lru import LRU as LRU
from ctmodels.layers._lssl import LSSL as LSSL, TrainableLSSL as TrainableLSSL
from ctmodels.layers._modes import (
    StablePoles as StablePoles,
    inverse_poles as inverse_poles,
    legs_poles as legs_poles,
    linear_poles as linear_poles,
    quadratic_poles as quadratic_poles,
    real_poles as real_poles,
)
from ctmodels.layers._recurrent import GRU as GRU, Recurrent as Recurrent
from ctmodels.layers._s4d import S4D as S4D
from ctmodels.layers._s5 import S5 as S5
from ctmodels.layers._selective import Selective as Selective
from ctmodels.layers._solve import solve as solve
