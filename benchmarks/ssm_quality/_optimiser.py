"""How state-space models are trained in these benchmarks."""

import optax

import ctmodels as ct


def optimiser(steps: int, peak: float) -> optax.GradientTransformation:
    """AdamW with warm-up and a cosine; for poles and steps Adam at 1e-3, without decay."""
    rate = lambda peak: optax.warmup_cosine_decay_schedule(0.0, peak, steps // 20 + 1, steps)
    other = optax.adamw(rate(peak), weight_decay=0.01)
    return optax.multi_transform({"slow": optax.adam(rate(1e-3)), "other": other}, ct.layers.label)
