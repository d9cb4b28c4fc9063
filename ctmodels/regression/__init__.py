"""Models fitted by linear regression, in closed form: no step of an optimiser is taken."""

from ctmodels.regression._dmd import dmd as dmd
from ctmodels.regression._echo_state import echo_state as echo_state
from ctmodels.regression._fit import Fit as Fit
from ctmodels.regression._kernel import kernel as kernel
from ctmodels.regression._nvar import nvar as nvar
from ctmodels.regression._ridge import ridge as ridge
from ctmodels.regression._sparse import Sparse as Sparse, bagged as bagged
from ctmodels.regression._sparse_law import sparse_law as sparse_law
from ctmodels.regression._stepwise import stepwise as stepwise
from ctmodels.regression._stlsq import stlsq as stlsq
from ctmodels.regression._tune import Tuned as Tuned, tune_echo_state as tune_echo_state
