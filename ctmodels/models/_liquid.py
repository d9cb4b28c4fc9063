r"""A liquid-state machine: spiking neurons on a lattice, left as they were drawn, of which a linear readout is fitted.

$$u \leftarrow (1 - \delta/\tau_u)\, u + W_{\mathrm{in}}\, x + W s, \qquad v \leftarrow (1 - \delta/\tau_v)\, v +
(\delta/\tau_v) R\, u, \qquad s = [v \ge v_{\mathrm{th}}]$$

with a reset of v to zero and a pause after each spike. Maass, Natschläger and Markram, Neural Computation 14, 2531
(2002); the numbers are those of Ivanov and Michmizos, NeurIPS 2021, without their astrocyte.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key

CLOSE = ((0.2, 0.1), (0.3, 0.05))  # chance of a connection at no distance: from (excitatory, inhibitory) to the same


class LiquidState(eqx.Module):
    r"""Leaky integrate-and-fire neurons on a lattice, connected by chance, most to their neighbours:
    $P = C e^{-(D/\lambda)^2}$, by steps of Euler.

    What it returns are spikes. Their counts are features of a classifier, `ct.regression.ridge(counts, labels)`. It
    moves no gradient through a spike, and so is no model that is trained.

    **Arguments:**

    - `inputs`: channels of what drives it; `shape`: of the lattice, a product of neurons.
    - `weight`: of a connection, negative from inhibitory neurons; `input_weight`: of an input, of either sign.
    - `inhibitory`: their share; `reach`: lambda, in units of the lattice; `input_density`: the share of neurons that an
        input reaches.
    - `dt`, `tau_u`, `tau_v`, `refractory`: in milliseconds; `resistance`, `threshold`: R and $v_{\mathrm{th}}$.

    **Good values:** 500 to 1000 neurons, weights by which a neuron spikes at some 10 to 100 Hz.
    """

    W: Float[Array, "unit unit"]
    W_in: Float[Array, "unit input"]
    dt: float = eqx.field(static=True)
    tau_u: float = eqx.field(static=True)
    tau_v: float = eqx.field(static=True)
    resistance: float = eqx.field(static=True)
    threshold: float = eqx.field(static=True)
    refractory: float = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(
        self,
        inputs: int,
        shape: tuple[int, int, int] = (8, 8, 8),
        *,
        weight: float = 3.0,
        input_weight: float = 3.0,
        inhibitory: float = 0.2,
        reach: float = 3.0,
        input_density: float = 0.15,
        dt: float = 1.0,
        tau_u: float = 2.0,
        tau_v: float = 64.0,
        resistance: float = 64.0,
        threshold: float = 20.0,
        refractory: float = 2.0,
        key: PRNGKeyArray,
    ):
        of_kind, of_w, of_in, of_sign = jax.random.split(key, 4)
        places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
        units = len(places)
        squares = ((places[:, None] - places[None]) ** 2).sum(axis=-1)
        near = jnp.asarray(np.where(squares > 0, np.exp(-squares / reach**2), 0))
        kind = jax.random.uniform(of_kind, (units,)) < inhibitory
        chance = jnp.asarray(np.array(CLOSE))[kind[None].astype(int), kind[:, None].astype(int)] * near  # [to, from]
        sign = jnp.where(kind, -1.0, 1.0)[None]
        self.W = jnp.where(jax.random.uniform(of_w, (units, units)) < chance, weight * sign, 0)
        hit = jax.random.uniform(of_in, (units, inputs)) < input_density
        self.W_in = jnp.where(hit, input_weight * jax.random.rademacher(of_sign, hit.shape, self.W.dtype), 0)
        self.dt, self.tau_u, self.tau_v = dt, tau_u, tau_v
        self.resistance, self.threshold, self.refractory = resistance, threshold, refractory

    def __call__(self, xs: Float[Array, "time input"]) -> Bool[Array, "time unit"]:
        """The spikes under what drives it, spikes or currents, a row for each `dt`, from rest."""
        rest = jnp.zeros(self.W.shape[0], xs.dtype)

        def step(carry, x):
            u, v, s, pause = carry
            u = (1 - self.dt / self.tau_u) * u + self.W_in @ x + self.W @ s
            moved = (1 - self.dt / self.tau_v) * v + self.dt / self.tau_v * self.resistance * u
            v = jnp.where(pause > 0, 0, moved)
            spiked = v >= self.threshold
            pause = jnp.where(spiked, self.refractory, pause - self.dt)
            return (u, jnp.where(spiked, 0, v), spiked.astype(v.dtype), pause), spiked

        return jax.lax.scan(step, (rest, rest, rest, rest), xs)[1]
