"""Local regularisation: the solver's heuristics at one random time (Pal, Edelman, Rackauckas 2023)."""

from ctmodels.measures._heuristics import eigenvalue, scaled_error
from ctmodels.measures._measure import Measure

RULES = ("unbiased", "biased")
OF = {"error": scaled_error, "stiffness": eigenvalue}


def local_measure(rule: str = "unbiased", of: str = "error") -> Measure:
    """One more step from a random time t_reg of the solution, as long as the solver's there: q |h| of it, or
    S / (stability size). The gradient is that of this step alone: neither where it begins nor its length carry any, so
    that every adjoint will do. Each sample has a time of its own, and it is new with each `key`.

    With the biased rule it is one term, drawn at random, of the mean that `scaled_error` takes over all steps, and
    weights are the same. The authors' code begins a new solve at t_reg, with the short step that begins a solve: in
    float32 the error of that is rounding.

    **Arguments:** `rule`: `"unbiased"` draws t_reg uniformly in time, `"biased"` uniformly from where the solver's
    steps began. `of`: `"error"` or `"stiffness"`.

    **Returns:** the measure `local_{of}_{rule}`.
    """
    for name, value, known in (("rule", rule, RULES), ("of", of, tuple(OF))):
        if value not in known:
            raise ValueError(f"local_measure: {name}={value!r} must be one of {', '.join(map(repr, known))}")
    written = f"ctmodels.measures.local_measure({rule!r}, {of!r})"
    return Measure(of=OF[of].of, name=f"local_{of}_{rule}", sampling=rule, written=written)
