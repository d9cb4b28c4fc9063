"""What is reported: pure functions of arrays, for one series each; a batch is made by vmap."""

from ._attractor import (
    d_stsp as d_stsp,
    d_stsp_gmm as d_stsp_gmm,
)
from ._calibration import (
    coverage as coverage,
    pit as pit,
    pit_distance as pit_distance,
    quadratic_variation as quadratic_variation,
    quadratic_variation_ratio as quadratic_variation_ratio,
)
from ._forecast import (
    mase as mase,
    nrmse as nrmse,
    rmse as rmse,
    smape as smape,
)
from ._gaps import (
    AsSampled as AsSampled,
    as_sampled as as_sampled,
)
from ._lyapunov import (
    kaplan_yorke as kaplan_yorke,
    lyapunov_spectrum as lyapunov_spectrum,
    lyapunov_spectrum_of_field as lyapunov_spectrum_of_field,
)
from ._rates import (
    Decoding as Decoding,
    decoding_r2 as decoding_r2,
    psth_r2 as psth_r2,
    rates_r2 as rates_r2,
)
from ._score import Score as Score
from ._spectrum import (
    d_hellinger as d_hellinger,
    power_spectrum as power_spectrum,
)
from ._spike_trains import (
    isi_distance as isi_distance,
    van_rossum as van_rossum,
    victor_purpura as victor_purpura,
)
from ._spikes import (
    bits_per_spike as bits_per_spike,
    co_smoothing_bits as co_smoothing_bits,
    forward_bits as forward_bits,
)
from ._valid_time import (
    ValidTime as ValidTime,
    valid_prediction_time as valid_prediction_time,
    valid_time as valid_time,
)
