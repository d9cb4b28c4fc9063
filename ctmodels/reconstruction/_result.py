"""What a reconstruction found, and how sure it is."""

import dataclasses
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data import Table, Trials
from ctmodels.reconstruction import _figures, _notebook
from ctmodels.reconstruction._about import about
from ctmodels.reconstruction._advice import advice
from ctmodels.reconstruction._candidate import Candidate, Problem
from ctmodels.reconstruction._delays import Embedding
from ctmodels.reconstruction._files import check_folder
from ctmodels.reconstruction._forecast import forecast_frame
from ctmodels.reconstruction._lead_times import LeadTimes
from ctmodels.reconstruction._parameters import Parameters
from ctmodels.reconstruction._provenance import Provenance
from ctmodels.reconstruction._rows import held_out_ids
from ctmodels.reconstruction._scores import Scores, plain_numbers
from ctmodels.reconstruction._summary import summary
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction._trained import Trained
from ctmodels.reconstruction._verdict import Evidence
from ctmodels.reconstruction._writing import write


@dataclasses.dataclass(frozen=True)
class Fitted:
    """One candidate's result. Times and values are physical.

    `trained`: the ensemble, its end state that after the last datum; `scores`: on the held-out tail, by name, each a
    [`ctmodels.metrics.Score`][]: what is added to them is shown; `median`, `lower`,
    `upper` `(time, channel)`: forecast from the end of training over the whole tail, with 90 % limits; of held-out
    trials, from the end of each one's warm-up, NaN before; `generated`
    `(time, channel)`: a free run of the first member, with its noise if it has some, or None;
    `exponents` `(member, state)`: Lyapunov exponents per unit of time, or None; `history`: of the training;
    `predicted` `(origin, horizon, channel)`: the scored forecasts' medians, scaled, and `limits`
    `(2, origin, horizon, channel)` of 90 %; `residuals` `(time, channel)`: what was observed less what was forecast one
    row before, of logarithms in theirs; NaN in rows that were left out, the earlier ones of a long series.
    """

    candidate: Candidate
    trained: Trained
    scores: Scores
    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    generated: np.ndarray | None
    exponents: np.ndarray | None
    history: list[dict]
    seconds: float
    predicted: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0, 0)))
    limits: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((2, 0, 0, 0)))
    residuals: np.ndarray | None = None

    @property
    def parameters(self) -> Parameters | None:
        """Of a law, with their intervals."""
        return self.trained.parameters

    def __repr__(self) -> str:
        measured = ", ".join(f"{name} {s.value:.3g}" for name, s in self.scores.items() if s.value is not None)
        return f"Fitted({self.candidate.name}: {measured})"


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """The data, the candidates fitted to them, the baselines, and which of them is selected.

    `table`: what was read; `n_train`: samples trained on; `horizon`: samples each scored forecast reaches;
    `measure`: the score that ranks; `selected`: the best candidate's name, or None where the evidence is weak or there
    is none; `verdict`: says so; `evidence`: for each candidate; `best`: the best candidate, accepted or not.
    `trials`: of which the table's rows are, end to end, those trained on first, each on a clock from its own start;
    None where the data are one series. `embedding`: how states are made of delays, or None. `lead_times`: errors and
    coverage by how far ahead they are; `provenance`: what was called, on which data, when, and with which versions.
    """

    table: Table
    inputs: tuple[str, ...]
    problem: Problem
    n_train: int
    horizon: int
    season: int
    measure: str
    fitted: dict[str, Fitted]
    baselines: dict[str, Scores]
    selected: str | None
    verdict: str
    evidence: dict[str, Evidence] = dataclasses.field(default_factory=dict)
    best: str = ""
    trials: Trials | None = None
    embedding: Embedding | None = None
    lead_times: LeadTimes | None = None
    provenance: Provenance | None = None

    def __repr__(self) -> str:
        """The verdict, not all that it was reached by."""
        return f"Reconstruction({self.table.source}: {', '.join(self.fitted)}; {self.verdict})"

    def _repr_html_(self) -> str:
        """The verdict and a short table, for notebooks."""
        rows = {name: f.scores for name, f in self.fitted.items()} | self.baselines
        found = _notebook.table(rows, self.measure) + _notebook.parameters(self.parameters)
        return f"<p>{escape(plain(self.table.source, 80))}: {escape(plain(self.verdict, 600))}</p>{found}"

    def plot(
        self,
        kind: str = "forecast",
        *,
        model: str | None = None,
        channels: Sequence[str] | None = None,
        id: str | None = None,
        ax: Any = None,
    ) -> Any:
        """A figure of one candidate, by the functions of [`ctmodels.plot`](../plots.md).

        **Arguments:**

        - `kind`: "forecast": the held-out tail and what was forecast of it from the end of training, with its band of
            90 %; "spectra": of the data and of what the model generates; "lyapunov": its exponents.
        - `model`: a candidate's name; None: the one that is selected, else the best.
        - `channels`: names; None: the first six.
        - `id`: of several trials a held-out one; None: the first of these.
        - `ax`: axes of matplotlib, a list with one for each channel; None: of a new figure.

        **Returns:** the axes: `result.plot()[0].figure.savefig("forecast.svg")`.
        """
        return _figures.draw(self, kind, self._chosen(model), channels, id, ax)

    def forecast(
        self,
        steps: int,
        *,
        model: str | None = None,
        id: str | None = None,
        inputs: str | Path | Table | None = None,
    ) -> Any:
        """So many samples beyond the data, as `ctmodels forecast` writes them, as a `DataFrame` of pandas.

        **Arguments:**

        - `steps`: how many, by the typical spacing of the data; months and years by the calendar.
        - `model`: a candidate's name; None: the one that is selected, else the best.
        - `id`: of several trials the one that goes on.
        - `inputs`: of a driven system the future of its inputs, at the times to forecast: a
            [`ctmodels.data.Table`][], or a file, which is read as the data were.

        **Returns:** a row for each step; the index is the times, dates where the data have dates (in UTC where those
        have a zone); of each channel `x` the columns `x`, the median, `x_lower` and `x_upper`, limits of 90 %. Raises
        `DataError` where pandas is not installed, where inputs are missing, and where the forecast is not finite.
        """
        name = self._chosen(model)
        known = about(self.table, self.inputs, "", self.trials)
        trained = self.fitted[name].trained
        return forecast_frame(self.table.source, name, trained, self.problem, known, steps, id, inputs)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Models, `metrics.json`, `history.jsonl` and `report.html` in a folder, which `ctmodels forecast` and
        `ctmodels export` go on from. A folder that holds another reconstruction is refused, unless `overwrite`."""
        path = check_folder(folder, overwrite)
        write(self, path)
        return path

    def _chosen(self, model: str | None) -> str:
        name = model or self.selected or self.best
        if name not in self.fitted:
            raise DataError(f"{argument('model', model)}: no such candidate: there are {', '.join(self.fitted)}")
        return name

    @property
    def parameters(self) -> dict[str, Parameters]:
        """Of each law among the candidates, with intervals in the units of the data."""
        return {name: f.parameters for name, f in self.fitted.items() if f.parameters is not None}

    @property
    def advice(self) -> str:
        """What to try next: a sentence that follows from the scores of the best candidate."""
        return advice(self)

    def summary(self) -> str:
        """The scores of models and baselines as a table for the terminal, and what each means; and the parameters of
        laws."""
        tables = [f"{name}:\n{table!r}" for name, table in self.parameters.items()]
        return "\n\n".join([summary(self.fitted, self.baselines, self.measure), *tables])

    def metrics(self) -> dict:
        """All numbers, JSON-able."""
        return {
            "source": self.table.source,
            "channels": [n for n in self.table.names if n not in self.inputs],
            "units": dict(zip(self.table.names, self.table.units, strict=True)),
            "time_unit": self.table.time_unit,
            "n_train": self.n_train,
            "n_test": len(self.table.time) - self.n_train,
            "horizon": self.horizon,
            "season": self.season,
            "measure": self.measure,
            "selected": self.selected,
            "best": self.best,
            "verdict": self.verdict,
            "advice": self.advice,
            "notes": list(self.table.notes),
            **self._trials(),
            **({} if self.embedding is None else {"embedding": self.embedding.to_dict()}),
            "candidates": {name: self._of(name, f) for name, f in self.fitted.items()},
            "baselines": {name: plain_numbers(scores) for name, scores in self.baselines.items()},
            **({} if self.lead_times is None else {"lead_times": self.lead_times.to_dict()}),
            **({} if self.provenance is None else {"provenance": self.provenance.to_dict()}),
        }

    @property
    def held_out(self) -> tuple[str, ...]:
        """Of several trials the ids of those that it is judged by."""
        return held_out_ids(self.trials, self.n_train)

    def _trials(self) -> dict:
        if self.trials is None:
            return {}
        train = self.trials.ids[: len(self.trials) - len(self.held_out)]
        return {"trials": {"train": list(train), "held_out": list(self.held_out)}}

    def formula(self, name: str) -> str | None:
        """The law in words that a candidate found, if it finds laws; of delays, `x[-3]` is x three rows before."""
        formula = self.fitted[name].trained.formula
        names = [n for n in self.table.names if n not in self.inputs]
        found = self.embedding
        ago = [] if found is None else [k * found.delay for k in range(1, found.dimension)]
        delayed = [f"{n}[-{rows}]" for rows in ago for n in names]
        return None if formula is None else formula([*names, *delayed], self.inputs)

    def _of(self, name: str, fitted: Fitted) -> dict:
        found = {"evidence": self.evidence[name]._asdict()} if name in self.evidence else {}
        named = {} if fitted.parameters is None else {"parameters": fitted.parameters.to_dict()}
        trained = fitted.trained
        made = {"settings": trained.settings, "formula": self.formula(name)}
        named |= {name: x for name, x in made.items() if x is not None}
        if fitted.exponents is not None:
            named |= {"exponents": np.median(fitted.exponents, axis=0).tolist()}
        return {**plain_numbers(fitted.scores), **found, **named, "seconds": fitted.seconds}
