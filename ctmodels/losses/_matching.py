"""Learning of latent paths without a solve."""

from collections.abc import Callable

from jaxtyping import PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels._core._model import AbstractMatched
from ctmodels._core._promises import check_example
from ctmodels._core._series import Example
from ctmodels.losses._likelihood import likelihood_of, predictive_of
from ctmodels.losses._targets import series_target


def matching(points: int = 8, family: Callable | None = None):
    r"""As [`ctmodels.losses.likelihood`][], of an [`ctmodels.AbstractMatched`][], whose posterior has marginals:
    nothing is solved. States are drawn from their marginals, at each time of the target for themselves; the divergence
    in `Output.kl`, which [`ctmodels.regularisers.kl`][] adds, is estimated at `points` times, one in each of as many
    equal stretches, so that its mean is the divergence itself. Sum and divergence together are the evidence bound, of
    which this is an unbiased estimate.

    $$\log p(x) \ge \mathbb E \sum_i \log p(x_i | z_{t_i}) - \mathrm{KL}(q(z_{t_0}) \| p)
      - (t_1 - t_0)\, \mathbb E_{t, z}\, \tfrac12 \Big| \frac{b_q - h}{g} \Big|^2$$

    Bartosh, Vetrov, Naesseth, "SDE matching" (2025); of a diffusion that does not depend on the state, Course and Nair,
    "Amortized reparametrization" (2023).

    **Arguments:** `points`: times at which the divergence is taken; `family`: as of the likelihood; None: under the
    model's `predictive`.

    **Good values:** 8 points, or as many as cost what the decoder does; the divergence annealed as for the ELBO.
    """
    check_whole("points", points, 1)

    @before(check_example)
    def loss(model: AbstractMatched, example: Example, key: PRNGKeyArray) -> tuple:
        check_key(key, needed=True)
        target = series_target(example, "matching")
        out = model.match(example.x, target.ts, points=points, key=key)
        predictive = predictive_of(out, model, "matching") if family is None else family(out.ys)
        return *likelihood_of(predictive, target), out

    return loss
