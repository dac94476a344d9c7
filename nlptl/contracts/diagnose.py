"""What a kind of room ``diagnose`` is given and must offer: a view of rows, and ``measure(view) -> dict``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import UNLABELLED, Floats, Ints
from nlptl.errors import DataError
from nlptl.registry import Settings


@dataclass(frozen=True, eq=False)
class View:
    """Rows to look at, out of the feature store. Each field may be absent; a kind asks for those that it reads.

    Attributes:
        features: (rows, width) vectors of one reading.
        labels: (rows,) class indices, −1 where a row has no label, or none that may be read.
        domain: (rows,) names.
        target: the domain that is asked about; the others are its sources.
        texts: (rows,) texts.
        source_probabilities: (rows, source labels) what a model taught elsewhere answers.
        probabilities: (rows, labels) what a model answers on rows that did not teach it.
        groups: (rows,) near-duplicate groups.
        label_names: the labels in the order of their indices.
        words: by word, the rows it stands in and its contextual vector there (``senses``).
    """

    features: Floats | None = None
    labels: Ints | None = None
    domain: npt.NDArray[Any] | None = None
    target: str | None = None
    texts: npt.NDArray[Any] | None = None
    source_probabilities: Floats | None = None
    probabilities: Floats | None = None
    groups: Ints | None = None
    label_names: Sequence[str] | None = None
    words: Mapping[str, tuple[Ints, Floats]] | None = None

    def need(self, *names: str) -> tuple[Any, ...]:
        """The fields ``names``, in that order.

        Raises:
            DataError: the view lacks one of them.
        """
        absent = [name for name in names if getattr(self, name) is None]
        if absent:
            raise DataError(f"this diagnosis reads {' and '.join(absent)}, which its view lacks; fill them in.")
        return tuple(getattr(self, name) for name in names)

    def take(self, rows: npt.NDArray[Any]) -> View:
        """Those of its rows alone, by position or mask; ``words`` is left out."""
        whole = ("target", "label_names", "words")
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        chosen = {name: value if name in whole or value is None else value[rows] for name, value in kept.items()}
        return View(**chosen | {"words": None})

    def labelled(self) -> View:
        """The rows with a label.

        Raises:
            DataError: there are fewer than two labels among them.
        """
        (labels,) = self.need("labels")
        known = self.take(labels != UNLABELLED)
        found = 0 if known.labels is None else len(np.unique(known.labels))
        if found < 2:
            raise DataError(f"this diagnosis compares labels, and its {np.sum(labels != UNLABELLED)} labelled rows "
                            f"have {found}; let more rows show theirs.")  # fmt: skip
        return known

    def sides(self) -> tuple[View, View]:
        """(sources, target): the rows of all other domains, and those of ``target``.

        Raises:
            DataError: either has no row.
        """
        domain, target = self.need("domain", "target")
        here = np.asarray(domain == target)
        if here.all() or not here.any():
            raise DataError(f"{int(here.sum())} of {len(here)} rows are of target {target!r}; a comparison needs both.")
        return self.take(~here), self.take(here)


class Diagnosis(Settings):
    """One measure of rows, taken without fine-tuning."""

    kind: str

    def measure(self, view: View) -> dict[str, Any]:
        """What was found, as plain values.

        Raises:
            DataError: the view lacks what this kind reads.
        """
        raise NotImplementedError
