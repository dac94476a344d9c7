"""The rows of a run as plain columns, with their vectors once they have been encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from nlptl.contracts import Floats, Head, Ints, Task
from nlptl.heads._reading import parts
from nlptl.transfer.rows import tasks_of
from nlptl.transfer.taught import Hashes, hashes


@dataclass(frozen=True)
class Corpus:
    """All rows that were read, in the order of ``dataset``, and the views that were made of them after those."""

    dataset: Dataset
    tasks: Mapping[str, Task]
    ids: npt.NDArray[np.object_]
    texts: npt.NDArray[np.object_]
    pairs: npt.NDArray[np.object_] | None
    domains: npt.NDArray[np.object_]
    encoded: Mapping[str, npt.NDArray[Any]]
    """By task, what ``Task.encode`` gives."""
    copies: npt.NDArray[np.object_]
    """Of the rows of ``dataset``: the id of the first scored row whose text is the same, or nearly; else its own."""
    origins: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Of the rows beyond those of ``dataset``, which are views made by ``augment``: the rows that they are views of."""
    known: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Rows whose texts taught the run that this one goes on from: they may teach again, and judge nothing."""
    alike: Ints | None = None
    """(rows of ``dataset``,) near-duplicate groups of those that teach or validate, where losses of rows are compared;
    else None."""

    @classmethod
    def of(cls, dataset: Dataset, heads: Mapping[str, Head], *, blind: bool = False) -> Corpus:
        """The columns of a data set that the readers made; ``blind``: rows need not have labels."""
        tasks = tasks_of(dataset, heads, blind=blind)

        def column(name: str) -> npt.NDArray[np.object_]:
            return np.array(dataset[:][name], dtype=object)

        return cls(
            dataset, tasks, column("id"), column("text"),
            column("text_pair") if "text_pair" in dataset.column_names else None, column("domain"),
            {name: task.encode(dataset[:][name]) for name, task in tasks.items()}, column("id"),
        )  # fmt: skip

    def with_copies(self, rows: Ints, originals: Ints) -> Corpus:
        """The corpus that knows of each of ``rows`` which row it is a copy of, one of ``originals``."""
        copies = self.ids[: len(self.dataset)].copy()
        copies[rows] = self.ids[originals]
        return replace(self, copies=copies)

    def views_of(self, rows: Ints) -> Ints:
        """The rows that are views of any of ``rows``, ascending."""
        return len(self.ids) - len(self.origins) + np.flatnonzero(np.isin(self.origins, rows))

    def hashes(self, rows: Ints) -> Hashes:
        """(rows,) what tells whether texts are the same, once case, spacing and punctuation are taken away."""
        return hashes(*self.texts_of(rows))

    def fresh(self, rows: Ints) -> npt.NDArray[np.bool_]:
        """(rows,) bool: which of ``rows`` may judge, since the run that this one goes on from does not know them."""
        return ~np.isin(rows, self.known)

    def texts_among(self, rows: Ints) -> Ints:
        """(rows,) numbers, the same for copies, exact or near, where such were looked for; a view has its row's."""
        own, views = rows.copy(), rows >= len(self.dataset)
        own[views] = self.origins[rows[views] - len(self.dataset)]
        return own if self.alike is None else self.alike[own]

    def labelled(self, task: str, rows: Ints) -> Ints:
        """Those of ``rows`` that have a label for ``task``."""
        return rows[self.tasks[task].labelled(self.encoded[task][rows])]

    def texts_of(self, rows: Ints) -> tuple[list[str], list[str] | None]:
        """What an encoder is given of ``rows``: their texts, and their second texts where there are such."""
        return list(self.texts[rows]), None if self.pairs is None else list(self.pairs[rows])

    def of_domain(self, rows: Ints, domain: str) -> Ints:
        """Those of ``rows`` that are of ``domain``."""
        return np.asarray(rows[self.domains[rows] == domain])


@dataclass(frozen=True)
class Vectors:
    """The vectors of some rows of a corpus."""

    rows: Ints
    """Ascending row numbers."""
    readings: Mapping[str, Floats]

    def of(self, rows: Ints, reading: str) -> Floats:
        """(rows, width) vectors of ``rows``, all of which are among those encoded; parts of a reading side by side."""
        return np.concatenate([self.parts(rows, [part])[part] for part in parts([reading])], axis=1)

    def parts(self, rows: Ints, names: Sequence[str]) -> dict[str, Floats]:
        """By reading of the encoder: (rows, width) vectors."""
        places = np.searchsorted(self.rows, rows)
        if len(rows) and not np.array_equal(self.rows[np.minimum(places, len(self.rows) - 1)], rows):
            raise KeyError(f"{len(np.setdiff1d(rows, self.rows))} rows have no vectors: encode them first")
        return {name: self.readings[name][places] for name in names}
