"""How to train."""

import dataclasses

from ctmodels._core._arguments import check_whole

SHORT = 200  # samples; under this, starts are parameters: there is too little to estimate a filter's noise from


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train.

    - `members`: of the ensemble, whose mean field and median forecast are what is used; `steps`, and a fourth more on
      draws for a model that has noise of its own; `window`: samples;
      `batch_size`: windows a member; `learning_rate`: Adam's, decaying by a cosine to a hundredth.
      Smoothed starts only: windows that last over four times as long as the median one, as there is a pause in
      them, are left out.
    - `refreshes`: how often the smoother runs again with the field learned so far.
    - `process_noise`: variance per unit of scaled time that the smoother grants the field's error. The likeliest value
      falls as the field learns to agree with its own smoother, and then windows start where the field would have them
      and not where the data were: with it, forecasts of Lorenz-63 were valid for 2.3 Lyapunov times, with this one for
      3.
    - `free_starts`: starts are parameters instead; `continuity`: weight of the gaps between them.
    """

    members: int = 4
    steps: int = 4000
    window: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-2
    refreshes: int = 10
    process_noise: float = 1e-3
    free_starts: bool = False
    continuity: float = 10.0

    def __post_init__(self):
        for name, least in (("members", 1), ("steps", 1), ("window", 2), ("batch_size", 1), ("refreshes", 0)):
            check_whole(name, getattr(self, name), least)

    @classmethod
    def default(cls, samples: int) -> "Recipe":
        """For a series of so many training samples."""
        if samples < SHORT:
            return cls(steps=2000, window=min(8, samples), batch_size=64, learning_rate=1e-2, free_starts=True)
        return cls()

    @classmethod
    def quick(cls, samples: int) -> "Recipe":
        """For a first look, in an eighth of the steps and half of the members."""
        full = cls.default(samples)
        return dataclasses.replace(full, members=full.members // 2, steps=full.steps // 8)
