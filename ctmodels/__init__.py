"""ctmodels: continuous-time and differential-equation models in JAX."""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING

from jax import __version__ as _jax_version

from ctmodels import (
    distributions as distributions,
    fields as fields,
    layers as layers,
    losses as losses,
    measures as measures,
    models as models,
    noise as noise,
    paths as paths,
    regularisers as regularisers,
    signatures as signatures,
    ssm as ssm,
    transforms as transforms,
)
from ctmodels._attention import TransformerLayer as TransformerLayer
from ctmodels._core._model import (
    AbstractDynamics as AbstractDynamics,
    AbstractFilter as AbstractFilter,
    AbstractLatent as AbstractLatent,
    AbstractListener as AbstractListener,
    AbstractMatched as AbstractMatched,
    AbstractModel as AbstractModel,
    AbstractOnline as AbstractOnline,
    AbstractShooting as AbstractShooting,
    AbstractSolver as AbstractSolver,
    roll_out as roll_out,
)
from ctmodels._core._output import STATUS as STATUS, Output as Output, Stats as Stats
from ctmodels._core._scaling import Scaling as Scaling
from ctmodels._core._series import (
    Driven as Driven,
    Example as Example,
    Record as Record,
    Series as Series,
    bucket_by_length as bucket_by_length,
    collate as collate,
)
from ctmodels._core._validation import DataError as DataError
from ctmodels._core._versions import warn_if_bad as _warn_if_bad
from ctmodels._encoders import (
    BidirectionalGRUEncoder as BidirectionalGRUEncoder,
    GRUEncoder as GRUEncoder,
    ReverseGRUEncoder as ReverseGRUEncoder,
    ReverseODERNNEncoder as ReverseODERNNEncoder,
    WindowEncoder as WindowEncoder,
)
from ctmodels._export import export as export
from ctmodels._integrate import (
    BAOAB as BAOAB,
    OBABO as OBABO,
    RK4 as RK4,
    SRI as SRI,
    DiscreteAdjoint as DiscreteAdjoint,
    Integrate as Integrate,
    Released as Released,
    ReversibleAdjoint as ReversibleAdjoint,
    Substeps as Substeps,
    accepted_times as accepted_times,
    rk_step as rk_step,
    solve_piecewise_constant as solve_piecewise_constant,
)
from ctmodels._observations import (
    GaussianValues as GaussianValues,
    NegativeBinomialCounts as NegativeBinomialCounts,
    PoissonCounts as PoissonCounts,
)
from ctmodels._posteriors import (
    ControlPosterior as ControlPosterior,
    DriftPosterior as DriftPosterior,
    MarginalPosterior as MarginalPosterior,
)
from ctmodels._readouts import (
    AbstractReadout as AbstractReadout,
    AffineReadout as AffineReadout,
    FirstChannels as FirstChannels,
)
from ctmodels.models import (
    NVAR as NVAR,
    ODERNN as ODERNN,
    PLRNN as PLRNN,
    EchoState as EchoState,
    GRUODEBayes as GRUODEBayes,
    IncrementScheme as IncrementScheme,
    LangevinFlow as LangevinFlow,
    LatentODE as LatentODE,
    LatentRNN as LatentRNN,
    LatentSDE as LatentSDE,
    LinearDynamics as LinearDynamics,
    LiquidState as LiquidState,
    LogNCDE as LogNCDE,
    NeuralCDE as NeuralCDE,
    NeuralODE as NeuralODE,
    NeuralSDE as NeuralSDE,
    StateSpace as StateSpace,
)
from ctmodels.train import (
    ArrayDataset as ArrayDataset,
    FitResult as FitResult,
    State as State,
    average_weights as average_weights,
    averaged as averaged,
    clip_weights as clip_weights,
    fit as fit,
    load as load,
    make_step as make_step,
    manifest as manifest,
    objective as objective,
    pooled as pooled,
    save as save,
)
from ctmodels.trajectories import (
    FreeStart as FreeStart,
    Shooting as Shooting,
    Windows as Windows,
    embedding as embedding,
    forcing as forcing,
    growing_horizon as growing_horizon,
    smoothing as smoothing,
)

if _TYPE_CHECKING:
    from ctmodels import (
        analysis as analysis,
        backtesting as backtesting,
        data as data,
        metrics as metrics,
        plot as plot,
        reconstruction as reconstruction,
        regression as regression,
        sweeps as sweeps,
        symbolic as symbolic,
        systems as systems,
        uncertainty as uncertainty,
    )
    from ctmodels.backtesting import backtest as backtest
    from ctmodels.data import bin_spikes as bin_spikes
    from ctmodels.reconstruction import reconstruct as reconstruct
    from ctmodels.sweeps import sweep as sweep

_warn_if_bad(_jax_version)

__version__ = "0.1.0"


_LATER = (
    "analysis", "backtesting", "data", "metrics", "plot", "reconstruction", "regression", "sweeps", "symbolic",
    "systems", "uncertainty",
)  # fmt: skip
_LATER_IN = {
    "backtest": "ctmodels.backtesting",
    "bin_spikes": "ctmodels.data",
    "reconstruct": "ctmodels.reconstruction",
    "sweep": "ctmodels.sweeps",
}


def __getattr__(name: str):
    """The readers, the main job and what goes with it are imported where they are asked for: half of the time that an
    import takes."""
    if name in _LATER_IN:
        return getattr(_importlib.import_module(_LATER_IN[name]), name)
    if name in _LATER:
        return _importlib.import_module(f"ctmodels.{name}")
    raise AttributeError(f"module 'ctmodels' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_LATER_IN})
