"""Regularisers: (model, Output) -> scalar, each for one example. They read the account of the work that
`Integrate(account=...)` asked for; what is punished is chosen in the objective."""

from ctmodels._output import Output


def local_error(model, output: Output):
    """Sum over the accepted steps of ||E_j|| |h_j| (ERNODE; Pal et al. 2021)."""
    return _measured(output, "local_error")


def stiffness(model, output: Output):
    """Sum over the accepted steps of S_j |h_j| (SRNODE; Pal et al. 2021)."""
    return _measured(output, "stiffness")


def _measured(output: Output, name: str):
    if name not in output.stats.measures:
        asked = ", ".join(output.stats.measures) or "nothing"
        raise ValueError(
            f"regulariser `{name}`: the solve did not measure it (it measured {asked}); "
            f"ask for it by Integrate(account=(ctmodels.{name},))"
        )
    return output.stats.measures[name]
