"""Teacher forcing, of maps and of flows: closed forms, bounds, and what it says where it cannot."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ctmodels as ct

pytestmark = pytest.mark.mostly("float64")

T, KEY = 12, jax.random.key(0)
SQUARED = ct.losses.squared


def observed(channels=3, rows=T, missing=False):
    """Of a walk that does not stay where a map would go."""
    ys = np.cumsum(np.random.default_rng(0).normal(size=(rows, channels)), axis=0) / 3
    if missing:
        ys[2:5, 0] = ys[6] = np.nan
    return ct.Series.from_nan(np.arange(float(rows)), ys)


def example(series):
    return ct.Windows(series, series.ts.shape[0], starts=series.to_nan())[jnp.asarray(0)]


def shallow(size=3, readout=None, **kwargs):
    cell = ct.fields.ShallowPLRNN(size, 8, key=KEY, **kwargs)
    return ct.PLRNN(cell, readout or ct.FirstChannels(size))


@pytest.fixture(scope="module")
def forced():
    """(model, example, alpha) -> the loss per entry and the predictions."""

    @eqx.filter_jit
    def both(model, example, alpha):
        error, weight, out = ct.losses.teacher_forcing()(
            model, ct.Example(ct.forcing.Forced(example.x, alpha), example.target)
        )
        return error / weight, out

    return lambda model, example, alpha: both(model, example, jnp.asarray(alpha, float))


def test_all_forcing_is_one_step_prediction_and_none_is_the_free_run(forced, tolerance):
    """Row k is predicted from row k - 1, which was forced, and is not forced itself."""
    model, one = shallow(), example(observed())
    ys = one.target.ys
    loss, out = forced(model, one, 1.0)
    steps = jax.vmap(lambda z: model.cell(0.0, z))(ys[:-1])
    np.testing.assert_allclose(out.ys, jnp.concatenate([ys[:1], steps]), **tolerance())
    np.testing.assert_allclose(loss, np.mean((steps - ys[1:]) ** 2), **tolerance())
    error, weight, free = jax.jit(lambda one: SQUARED(model, one))(one)
    loss, out = forced(model, one, 0.0)
    np.testing.assert_allclose(out.ys, free.ys, **tolerance())
    np.testing.assert_allclose(loss, error / weight, **tolerance())
    assert out.stats.status == 0 and out.stats.evaluations == T - 1


def test_between_them_a_state_and_what_was_observed_are_mixed(forced, tolerance):
    model, one = shallow(), example(observed())
    z, ys = one.target.ys[0], [one.target.ys[0]]
    for k in range(T - 1):
        # The start is given: there is nothing to force it by.
        z = model.cell(0.0, z if k == 0 else 0.7 * z + 0.3 * one.target.ys[k])
        ys.append(z)
    np.testing.assert_allclose(forced(model, one, 0.3)[1].ys, jnp.stack(ys), **tolerance())


def linear(a):
    """z <- a z."""
    cell = ct.fields.AlmostLinear(1, 0, key=KEY)
    return ct.PLRNN(eqx.tree_at(lambda c: (c.A, c.W), cell, (a, jnp.zeros((1, 1)))), ct.FirstChannels(1))


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_the_gradient_of_a_linear_map_is_a_geometric_sum(alpha, tolerance):
    """z_k = a ((1 - alpha) z_{k-1} + alpha y_{k-1}), so dz_k/da = z_k/a + a (1 - alpha) dz_{k-1}/da."""
    one, a = example(observed(1)), 1.1
    y = np.asarray(one.target.ys[:, 0], np.float64)
    z, slope, wanted = y[0], 0.0, 0.0
    for k in range(1, T):
        weight = 0.0 if k == 1 else alpha
        before = (1 - weight) * z + weight * y[k - 1]
        z, slope = a * before, before + a * (1 - weight) * slope
        wanted += 2 * (z - y[k]) * slope
    total = lambda a: ct.losses.teacher_forcing(alpha)(linear(a), one)[0]
    np.testing.assert_allclose(jax.grad(total)(jnp.array([a])), [wanted], **tolerance(10))


def test_the_products_of_jacobians_are_bounded(tolerance):
    """By what is left of each step's; with the estimated forcing they do not grow, however the map stretches."""
    model = eqx.tree_at(lambda m: m.cell.A, shallow(), jnp.array([1.3, 0.9, 1.6]))
    batch = ct.Windows(observed(rows=40), 20, starts=observed(rows=40).ys, stride=4)[jnp.arange(5)]

    def along(example, alpha):
        """End of the window by its start, and the norms of the steps' Jacobians."""
        end = lambda z: ct.forcing.teacher_forced(model, z, example.target, alpha).latents[-1]
        zs = ct.forcing.teacher_forced(model, example.x, example.target, alpha).latents
        force = lambda z, y: z + alpha * (y - z)
        forced = jnp.concatenate([zs[:1], jax.vmap(force)(zs[1:-1], example.target.ys[1:-1])])
        norms = jax.vmap(lambda z: jnp.linalg.norm(model.cell.affine(model.cell.region(z))[0], 2))(forced)
        return jnp.linalg.norm(jax.jacfwd(end)(example.x.y0), 2), norms

    norm, norms = jax.jit(jax.vmap(along, in_axes=(0, None)))(batch, jnp.asarray(0.2))
    # The first row of a window, which is given, is not forced.
    assert (norm <= 1.0001 * np.prod(norms, axis=1) * 0.8**18).all() and (norms <= model.cell.jacobian_bound()).all()
    kinds = "maximum", "geometric_mean", "arithmetic_mean", "product"
    find = jax.jit(lambda model: {by: ct.forcing.estimate(model, batch, by) for by in kinds})
    alphas = jax.device_get(find(model))
    assert 0 < alphas["product"] <= alphas["geometric_mean"] <= alphas["maximum"] < 1
    assert 0 < alphas["arithmetic_mean"] < alphas["maximum"]
    norm, norms = jax.jit(jax.vmap(along, in_axes=(0, None)))(batch, jnp.asarray(alphas["maximum"]))
    assert (norm <= 1.0001 * norms[:, 0]).all()  # what is not forced is the first step
    # Of a linear map they are all one.
    linear = eqx.tree_at(lambda m: (m.cell.A, m.cell.W1), model, (jnp.full(3, 1.25), 0 * model.cell.W1))
    np.testing.assert_allclose(list(jax.device_get(find(linear)).values()), 0.2, **tolerance(10))
    assert ct.forcing.alpha_for(jnp.asarray(0.5)) == 0


def test_newton_finds_the_states_of_the_loop_and_their_gradient(tolerance):
    model, one = shallow(), example(observed(missing=True))

    @eqx.filter_jit
    def both(model, solver):
        loss = ct.losses.teacher_forcing(0.5, every=2, solver=solver)
        total = lambda model: (lambda found: (found[0], found[2]))(loss(model, one))
        return eqx.filter_value_and_grad(total, has_aux=True)(model)

    (loss, out), slopes = both(model, None)
    (other, parallel), gradient = both(model, ct.ssm.NewtonScan())
    assert parallel.stats.status == 0
    np.testing.assert_allclose(parallel.ys, out.ys, **tolerance(10))
    for a, b in zip(jax.tree.leaves((loss, slopes)), jax.tree.leaves((other, gradient)), strict=True):
        np.testing.assert_allclose(a, b, **tolerance(100))


def test_what_was_not_observed_forces_nothing_and_hidden_channels_go_on(forced, tolerance):
    """Two of three entries are observed, sometimes one, sometimes none; the third is never forced."""
    series = observed(2, missing=True)
    model, one = shallow(readout=ct.FirstChannels(2, 3)), example(series)
    z, ys = jnp.append(one.target.ys[0], 0), []
    for k in range(T):
        ys.append(z[:2])
        draw = jnp.where(one.target.mask[k], one.target.ys[k] - z[:2], 0)
        z = model.cell(0.0, z + 0.6 * jnp.append(draw, 0))
    np.testing.assert_allclose(forced(model, one, 0.6)[1].ys, jnp.stack(ys), **tolerance(10))
    poison = eqx.tree_at(lambda e: e.target.ys, one, jnp.where(one.target.mask, one.target.ys, jnp.nan))
    slope = jax.grad(lambda A: forced(eqx.tree_at(lambda m: m.cell.A, model, A), poison, 0.6)[0])(model.cell.A)
    assert np.isfinite(slope).all()


def test_an_affine_readout_forces_by_its_pseudo_inverse(forced, tolerance):
    """Of five channels and a state of two, what of the state is observed is all of it."""
    model, one = shallow(2, ct.AffineReadout(5, 2, bias=True, key=jax.random.key(3))), example(observed(5))
    B, ys = np.asarray(model.readout.B), np.asarray(one.target.ys)
    states = jnp.asarray(ys @ np.linalg.pinv(B).T)
    steps = np.asarray(jax.jit(jax.vmap(lambda z: model.cell(0.0, z)))(states[:-1])) @ B.T
    np.testing.assert_allclose(forced(model, one, 1.0)[1].ys[1:], steps, **tolerance(10))


def test_a_flow_is_forced_at_the_times_of_observations(tolerance):
    """dz/dt = 1, at irregular times: half of what is missing is made up at each."""
    rest = ct.NeuralODE(lambda t, y, args: jnp.ones_like(y), 1, 0, ct.Integrate(ct.RK4(), ct.Substeps(1)))
    ts, ys = np.array([0.0, 0.3, 1.0, 1.2]), np.array([[1.0], [3.0], [np.nan], [0.0]])
    target = ct.Series.from_nan(ts, ys)
    forced = jax.jit(lambda target: ct.forcing.teacher_forced(rest, jnp.array([1.0]), target, 0.5))
    out = forced(target)
    np.testing.assert_allclose(out.ys[:, 0], [1, 1.3, (1.3 + 3) / 2 + 0.7, (1.3 + 3) / 2 + 0.9], **tolerance())
    batch = jax.tree.map(lambda a: a[None], ct.Example(jnp.array([1.0]), target))
    assert jax.jit(lambda batch: ct.forcing.estimate(rest, batch))(batch) < 1e-6
    # Turned about, the times are refused, or NaN where that shows only in compiled code.
    turned = eqx.tree_at(lambda s: s.ts, target, target.ts[::-1])
    with pytest.raises(ValueError, match=r"target.ts\[1\] is 1 after 1.2: times increase"):
        ct.forcing.teacher_forced(rest, jnp.array([1.0]), turned, 0.5)
    found = forced(turned)
    assert np.isnan(found.ys).all() and found.stats.status != 0


def test_a_clipped_map_stays_in_a_box_and_a_plain_one_may_not():
    """20 000 steps of maps that stretch nearly everywhere."""
    wild = lambda m: eqx.tree_at(lambda m: (m.cell.A, m.cell.W1), m, (jnp.full(3, 0.9), 40 * m.cell.W1))

    @eqx.filter_jit
    def furthest(model):
        step = lambda carry, _: ((z := model.cell(0.0, carry[0]), jnp.maximum(carry[1], jnp.max(jnp.abs(z)))), None)
        return jax.lax.scan(step, (jnp.ones(3), jnp.zeros(())), length=20_000)[0][1]

    clipped, plain = wild(shallow()), wild(shallow(clipped=False))
    # |z| <= (|W1| |h2| + |h1|) / (1 - 0.9), as relus differ by no more than their shift.
    box = np.max(np.abs(clipped.cell.W1) @ np.abs(clipped.cell.h2)) / 0.1
    assert 1 < furthest(clipped) <= max(1.0, box)
    assert not furthest(plain) <= 1e30


def test_forcing_follows_a_schedule_or_the_jacobians_in_training():
    series = observed(rows=40)
    windows = ct.Windows(series, 10, starts=series.to_nan())
    train = lambda loss, data, transform=None, **kwargs: ct.fit(
        step := ct.make_step(ct.objective(loss, transform=transform), optax.radam(1e-2)),
        step.init(shallow(), key=KEY), data, steps=10, batch_size=4, progress=False, **kwargs,
    )  # fmt: skip
    loss = ct.losses.teacher_forcing()
    falling = train(loss, windows, ct.forcing.scheduled(optax.linear_schedule(1.0, 0.0, 5)))
    assert np.isfinite(falling.history[-1]["loss"]) and falling.history[-1]["skipped"] == 0
    seen = []

    def watched(model, data, refresh=ct.forcing.adaptive(gamma=0.5, windows=4)):
        seen.append(refresh(model, data))
        return seen[-1]

    adapted = train(loss, ct.forcing.ForcedData(windows), refresh=watched, refresh_every=2)
    assert adapted.history[-1]["skipped"] == 0 and [int(data.turn) for data in seen] == [1, 2, 3, 4]
    alphas = [float(data.alpha) for data in seen]
    assert all(0 <= b < a < 1 for a, b in zip(alphas, alphas[1:], strict=False))


def test_annealing_follows_at_once_upward_and_slowly_down(tolerance):
    nexts = [ct.forcing.annealed(jnp.asarray(0.5), jnp.asarray(a), 0.9) for a in (0.7, 0.1, np.nan)]
    np.testing.assert_allclose(nexts, [0.7, 0.46, 1.0], **tolerance())


@pytest.mark.only("float32")
@pytest.mark.parametrize("alpha", [-0.1, 1.5, np.nan])
def test_an_alpha_outside_of_its_limits_is_refused_or_not_finite(forced, alpha):
    for call in (
        lambda: ct.losses.teacher_forcing(alpha),
        lambda: ct.forcing.ForcedData([], alpha),
        lambda: ct.forcing.teacher_forced(shallow(), jnp.ones(3), observed(), alpha),
    ):
        with pytest.raises(ValueError, match=f"alpha={alpha}: forcing goes from 0, a free run, to 1"):
            call()
    assert np.isnan(forced(shallow(), example(observed()), alpha)[0])


@pytest.mark.only("float32")
def test_what_cannot_be_forced_is_refused():
    one, loss = example(observed()), ct.losses.teacher_forcing()
    with pytest.raises(ValueError, match="alpha=None, and the example's x is a Driven, which does not say: give alpha"):
        loss(shallow(), one)
    with pytest.raises(ValueError, match="alpha=0.2, and the example says another"):
        ct.losses.teacher_forcing(0.2)(shallow(), ct.Example(ct.forcing.Forced(one.x, jnp.ones(())), one.target))
    with pytest.raises(ValueError, match="target has 2 channels and the dynamics 3: make them equal"):
        ct.forcing.teacher_forced(shallow(), one.x, observed(2), 0.2)
    with pytest.raises(TypeError, match="dynamics: .*, where a dynamics is wanted"):
        ct.forcing.teacher_forced(lambda z: z, one.x, one.target, 0.2)
    with pytest.raises(ValueError, match="by='largest': must be one of 'maximum', 'geometric_mean'"):
        ct.forcing.adaptive("largest")
    with pytest.raises(ValueError, match="gamma=1: a number from 0 to below 1"):
        ct.forcing.adaptive(gamma=1.0)
    with pytest.raises(ct.DataError, match="every=0: a whole number of at least 1"):
        ct.forcing.teacher_forced(shallow(), one.x, one.target, 0.2, every=0)
    with pytest.raises(ct.DataError, match="size=2: a state has as many entries as are observed, channels=3, or more"):
        ct.FirstChannels(3, 2)
    with pytest.raises(ValueError, match="dt=0: the time that one step takes is positive"):
        ct.PLRNN(shallow().cell, ct.FirstChannels(3), dt=0)
    with pytest.raises(ct.DataError, match="rectified=4: a whole number from 0 to 3"):
        ct.fields.AlmostLinear(3, 4, key=KEY)


@pytest.mark.only("float32")
def test_a_time_between_steps_is_a_status():
    model = shallow()
    out = model(jnp.ones(3), jnp.array([0.0, 1.0, 1.5]))
    assert np.isfinite(out.ys[1]).all() and np.isnan(out.ys[2]).all() and out.stats.status == 5
    assert model(jnp.ones(3), jnp.array([0.0, 2.0])).stats.status == 1  # more than one step
