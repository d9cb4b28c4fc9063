"""What a path is made of, checked as it is made."""

from jaxtyping import Array

from ctmodels._core._series import Series


def check_knots(ts: Array) -> None:
    if ts.shape[-1] < 2:
        raise ValueError(
            f"ts has {ts.shape[-1]} time(s): a path needs at least 2, the ends of a piece; "
            "give more rows, or hold the one: series.pad(2)"
        )


def check_values(ts: Array, ys: Array) -> None:
    if ys.ndim != ts.ndim + 1 or ys.shape[:-1] != ts.shape:
        raise ValueError(
            f"ys has shape {ys.shape} and ts {ts.shape}: a path has a row of values for each time, (time, channel); "
            "one channel is ys[:, None]"
        )


def check_one(series: Series, name: str) -> None:
    if series.ts.ndim != 1:
        raise ValueError(
            f"series has times of shape {series.ts.shape}: {name} takes one series, of times (time,); "
            "for a batch, jax.vmap it"
        )
    check_knots(series.ts)
