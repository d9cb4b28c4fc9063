"""Where rows stand in what they were read from, as a person counts there."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
    """`places(i)`: "lynx.csv, row 17" of row `i`. Kept with a table, so that what is found wrong long after reading is
    still told by its place.

    - `source`: the file, or what messages call an object.
    - `numbers`: of each row. `word`: what they are: the "row" of an editor, the header counted, or an array's "index".
    """

    source: str
    numbers: np.ndarray
    word: str = "row"

    def __call__(self, i: int) -> str:
        return f"{self.source}, {self.word} {self.numbers[i]}"

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows) -> "Places":
        """Of some of the rows."""
        return dataclasses.replace(self, numbers=self.numbers[rows])
