"""ctmodels: continuous-time and differential-equation models in JAX."""

from jax import __version__ as _jax_version

from ctmodels import (
    data as data,
    distributions as distributions,
    losses as losses,
    measures as measures,
    metrics as metrics,
    models as models,
    reconstruction as reconstruction,
    regularisers as regularisers,
    systems as systems,
)
from ctmodels._export import export as export
from ctmodels._fields import (
    MatrixField as MatrixField,
    MLPField as MLPField,
    Rescaled as Rescaled,
    SecondOrder as SecondOrder,
    SumField as SumField,
)
from ctmodels._integrate import (
    RK4 as RK4,
    DiscreteAdjoint as DiscreteAdjoint,
    Integrate as Integrate,
    Substeps as Substeps,
    accepted_times as accepted_times,
    rk_step as rk_step,
    solve_piecewise_constant as solve_piecewise_constant,
)
from ctmodels._model import (
    AbstractDynamics as AbstractDynamics,
    AbstractFilter as AbstractFilter,
    AbstractLatent as AbstractLatent,
    AbstractModel as AbstractModel,
    AbstractShooting as AbstractShooting,
    AbstractSolver as AbstractSolver,
    roll_out as roll_out,
)
from ctmodels._output import STATUS as STATUS, Output as Output, Stats as Stats
from ctmodels._paths import (
    CubicPath as CubicPath,
    HeldPath as HeldPath,
    LinearPath as LinearPath,
    RectilinearPath as RectilinearPath,
    with_intensity as with_intensity,
    with_time as with_time,
)
from ctmodels._scaling import Scaling as Scaling
from ctmodels._series import (
    Driven as Driven,
    Example as Example,
    Record as Record,
    Series as Series,
    bucket_by_length as bucket_by_length,
    collate as collate,
)
from ctmodels._shooting import (
    FreeStart as FreeStart,
    Shooting as Shooting,
    Windows as Windows,
    growing_horizon as growing_horizon,
)
from ctmodels._signatures import (
    chen as chen,
    exp_tensor as exp_tensor,
    lie_field as lie_field,
    log_tensor as log_tensor,
    logsignature as logsignature,
    logsignature_windows as logsignature_windows,
    lyndon_coordinates as lyndon_coordinates,
    lyndon_words as lyndon_words,
    signature as signature,
)
from ctmodels._smoothing import (
    Noise as Noise,
    Smoothed as Smoothed,
    constant_velocity as constant_velocity,
    smooth as smooth,
    tune_noise as tune_noise,
)
from ctmodels._validation import DataError as DataError
from ctmodels._versions import warn_if_bad as _warn_if_bad
from ctmodels.models import (
    ODERNN as ODERNN,
    GRUODEBayes as GRUODEBayes,
    IncrementScheme as IncrementScheme,
    LatentODE as LatentODE,
    LogNCDE as LogNCDE,
    NeuralCDE as NeuralCDE,
    NeuralODE as NeuralODE,
    ReverseGRUEncoder as ReverseGRUEncoder,
    ReverseODERNNEncoder as ReverseODERNNEncoder,
)
from ctmodels.reconstruction import reconstruct as reconstruct
from ctmodels.train import (
    ArrayDataset as ArrayDataset,
    FitResult as FitResult,
    State as State,
    fit as fit,
    load as load,
    make_step as make_step,
    manifest as manifest,
    objective as objective,
    pooled as pooled,
    save as save,
)

_warn_if_bad(_jax_version)

__version__ = "0.1.0"
