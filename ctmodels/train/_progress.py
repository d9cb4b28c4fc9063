"""A bar with the time left and the running metrics; plain lines where there is no terminal."""

import sys
import time


class Progress:
    """`with Progress(total, name, enabled) as bar: bar.update(metrics)`, metrics with their `step`."""

    def __init__(self, total: int, name: str, enabled: bool = True, seconds: float = 15.0):
        self.total, self.name, self.enabled, self.seconds = total, name, enabled, seconds
        self.bar, self.begun, self.said = None, time.monotonic(), 0.0

    def __enter__(self):
        if self.enabled and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=self.total, desc=self.name, dynamic_ncols=True)
        return self

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()

    def update(self, metrics: dict) -> None:
        step = metrics["step"]
        if self.bar is not None:
            self.bar.set_postfix_str(_short(metrics), refresh=False)
            self.bar.update(step - self.bar.n)
        elif self.enabled:
            self._line(step, metrics)

    def _line(self, step: int, metrics: dict) -> None:
        spent = time.monotonic() - self.begun
        if spent - self.said < self.seconds and step < self.total:
            return
        self.said = spent
        left = spent / max(step, 1) * (self.total - step)
        print(f"{self.name}: step {step}/{self.total}, {left:.0f} s left, {_short(metrics)}", file=sys.stderr)


def _short(metrics: dict) -> str:
    return ", ".join(f"{k} {_mean(v):.4g}" for k, v in metrics.items() if k in ("loss", "validation"))


def _mean(value) -> float:
    return sum(value) / len(value) if isinstance(value, list) else value
