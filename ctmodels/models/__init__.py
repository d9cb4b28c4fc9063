"""Models: one file each, none imports another."""

from ctmodels.models._echo_state import EchoState as EchoState
from ctmodels.models._gru_ode_bayes import GRUField as GRUField, GRUODEBayes as GRUODEBayes
from ctmodels.models._langevin_flow import LangevinFlow as LangevinFlow
from ctmodels.models._latent_ode import LatentODE as LatentODE
from ctmodels.models._latent_rnn import LatentRNN as LatentRNN
from ctmodels.models._latent_sde import LatentSDE as LatentSDE
from ctmodels.models._linear_dynamics import LinearDynamics as LinearDynamics
from ctmodels.models._liquid import LiquidState as LiquidState
from ctmodels.models._log_ncde import LogNCDE as LogNCDE
from ctmodels.models._neural_cde import IncrementScheme as IncrementScheme, NeuralCDE as NeuralCDE
from ctmodels.models._neural_ode import NeuralODE as NeuralODE
from ctmodels.models._neural_sde import NeuralSDE as NeuralSDE
from ctmodels.models._nvar import NVAR as NVAR
from ctmodels.models._ode_rnn import ODERNN as ODERNN
from ctmodels.models._plrnn import PLRNN as PLRNN
from ctmodels.models._state_space import StateSpace as StateSpace
