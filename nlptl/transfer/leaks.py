"""The leak guard: no text, nor a near copy of it, both teaches and is scored, or both teaches and chooses.

Exact copies are equal once case, spacing and punctuation are taken away. Near copies are found by MinHash with banding
(Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman & Ullman 2014, ch. 3) through
``datasketch``, and verified by the Jaccard similarity of their sets of three-word shingles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints
from nlptl.errors import DataError
from nlptl.transfer.plan import Turn
from nlptl.transfer.words import compared_by, shingles

Texts = Sequence[str] | npt.NDArray[np.object_]
Policy = Literal["drop", "keep", "fail"]
PERMUTATIONS = 64
SCHEME = "affine32"
MISSED = 1e-3
"""Largest chance that a pair just as similar as ``near`` asks is not compared (for ``near`` from 0.11 on)."""
EXAMPLES = 5


@dataclass(frozen=True)
class Leaks:
    """Teaching rows that copy a guarded one: exactly, nearly, and how many of them were dropped."""

    exact: int
    near: int
    dropped: int
    examples: tuple[tuple[int, int], ...] = ()
    """The first few pairs of (teaching row, guarded row) of the data set."""


@dataclass(frozen=True, eq=False)
class Signatures:
    """What two texts are compared by, worked out once for all turns. A pair of texts is compared as one text.

    ``texts`` (rows,) numbers equal normalised texts equally; ``shingles`` and ``sketches`` are by that number.
    """

    texts: Ints
    shingles: Sequence[npt.NDArray[np.uint32]]
    sketches: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, texts: Texts, pairs: Texts | None = None, *, rows: Ints | None = None) -> Signatures:
        """Of all rows of a data set, or just of ``rows``; the others have the number −1 and must not be asked for."""
        from datasketch import MinHash

        wanted = np.arange(len(texts)) if rows is None else rows
        numbers: dict[str, int] = {}
        places = np.full(len(texts), -1, dtype=np.int64)
        for row in wanted.tolist():
            normal = compared_by(texts[row], None if pairs is None else pairs[row])
            places[row] = numbers.setdefault(normal, len(numbers))
        found = [shingles(text) for text in numbers]
        blank = MinHash(PERMUTATIONS, seed=1, hashfunc=int, scheme=SCHEME)
        sketches = np.empty((len(found), PERMUTATIONS), dtype=np.uint32)
        for place, hashes in enumerate(found):
            sketch = blank.copy()
            sketch.update_batch(hashes.tolist())
            sketches[place] = sketch.hashvalues
        return cls(places, found, sketches)

    def near(self, taught: Ints, scored: Ints, threshold: float) -> dict[int, int]:
        """A near copy in ``scored`` for each text number of ``taught`` that has one; the two share no number."""
        index = self._index(np.unique(taught), threshold)
        copies: dict[int, int] = {}
        for number in np.unique(scored).tolist():
            for other in self._similar(number, index, threshold):
                # Found once is found: a thousand mails of one template are not compared a thousand times each.
                index.remove(other)
                copies[other] = number
        return copies

    def groups(self, rows: Ints, *, near: float) -> Ints:
        """(rows,) group numbers: rows whose texts are copies, exact or near, of one another or of a third share one."""
        numbers = np.unique(self.texts[rows])
        index = self._index(numbers, near)
        group = np.full(len(numbers), -1, dtype=np.int64)
        for place, number in enumerate(numbers.tolist()):
            if group[place] >= 0:
                continue
            group[place] = place
            index.remove(number)
            reached = [number]
            while reached:
                for other in self._similar(reached.pop(), index, near):
                    group[np.searchsorted(numbers, other)] = place
                    index.remove(other)
                    reached.append(other)
        return group[np.searchsorted(numbers, self.texts[rows])]

    def originals(self, rows: Ints, *, near: float) -> Ints:
        """(rows,) for each of ``rows`` the first of them whose text is a copy of its own, exact or near, or itself."""
        _, first, which = np.unique(self.groups(rows, near=near), return_index=True, return_inverse=True)
        return np.asarray(rows[first[which]])

    def jaccard(self, one: int, other: int) -> float:
        """Shared shingles over all shingles of two texts."""
        shared = len(np.intersect1d(self.shingles[one], self.shingles[other], assume_unique=True))
        return shared / (len(self.shingles[one]) + len(self.shingles[other]) - shared)

    def _similar(self, number: int, index: Any, threshold: float) -> list[int]:
        candidates = sorted(index.query(self._sketch(number)))
        return [other for other in candidates if self.jaccard(number, other) >= threshold]

    def _index(self, numbers: Ints, threshold: float) -> Any:
        from datasketch import MinHashLSH

        index = MinHashLSH(num_perm=PERMUTATIONS, params=_bands(threshold))
        with index.insertion_session() as session:
            for number in numbers.tolist():
                session.insert(number, self._sketch(number), check_duplication=False)
        return index

    def _sketch(self, number: int) -> Any:
        from datasketch import LeanMinHash

        return LeanMinHash(seed=1, hashvalues=self.sketches[number], scheme=SCHEME)


def guard(turn: Turn, signatures: Signatures, *, leaks: Policy, near: float) -> tuple[Turn, Leaks]:
    """``turn`` without the teaching rows, labelled or not, whose text is a copy of a scored one.

    With ``keep`` they are counted only. Scored rows that a transductive recipe lets methods read stay.

    Raises:
        DataError: with ``fail``, where there is any; with ``drop``, where no labelled row is left to teach.
    """
    rows = np.unique(np.concatenate([turn.teach, turn.validate, turn.unlabelled]))
    return _guarded(turn, signatures, rows[~np.isin(rows, turn.score)], turn.score, "scored", leaks, near)


def guard_validation(turn: Turn, signatures: Signatures, *, leaks: Policy, near: float) -> tuple[Turn, Leaks]:
    """``turn``, from which ``guard`` dropped its leaks, without the teaching rows whose text is a copy of an official
    validation row: what was learned by heart would choose the epoch. Raises as ``guard`` does."""
    return _guarded(turn, signatures, turn.teach, turn.validate, "validation", leaks, near)


def _guarded(
    turn: Turn, signatures: Signatures, rows: Ints, kept: Ints, what: str, leaks: Policy, near: float
) -> tuple[Turn, Leaks]:
    """``turn`` without those of ``rows`` that are copies of the rows ``kept``, which are ``what``."""
    texts, others = signatures.texts[rows], signatures.texts[kept]
    exact = np.isin(texts, others)
    copies = signatures.near(texts[~exact], others, near)
    leaking = exact | np.isin(texts, list(copies))
    examples = tuple(
        (int(row), int(kept[np.argmax(others == copies.get(text, text))]))
        for row, text in zip(rows[leaking][:EXAMPLES], texts[leaking].tolist(), strict=False)
    )
    found = Leaks(int(exact.sum()), int((leaking & ~exact).sum()), 0, examples)
    if leaks == "fail" and leaking.any():
        shown = ", ".join(f"{taught} of {held}" for taught, held in examples)
        raise DataError(
            f"turn {turn.name!r}: {found.exact} teaching rows are copies of {what} rows and {found.near} nearly so "
            f"(row {shown}, counted from 0); set transfer.leaks: drop to leave them out of the teaching."
        )
    if leaks != "drop":
        return turn, found
    return _without(turn, rows[leaking], what), replace(found, dropped=int(leaking.sum()))


def _without(turn: Turn, leaking: Ints, what: str) -> Turn:
    teach, validate, unlabelled = (
        part[~np.isin(part, leaking)] for part in (turn.teach, turn.validate, turn.unlabelled)
    )
    if len(turn.teach) and not len(teach):
        raise DataError(
            f"turn {turn.name!r}: all {len(turn.teach)} rows that may teach are copies of {what} rows; name other "
            "domains in transfer.source, lower transfer.hold_out, or raise transfer.near."
        )
    # A source's labelled rows are never read as unlabelled, a target's always are: what is in both is the target's.
    of_target = len(np.intersect1d(teach, unlabelled)) if turn.labels_of_target else 0
    return replace(turn, teach=teach, validate=validate, unlabelled=unlabelled, labels_of_target=of_target)


def _bands(threshold: float) -> tuple[int, int]:
    """(bands, rows a band) of the index: the most selective that ``MISSED`` allows.

    A pair of Jaccard similarity s shares no band with chance (1 − sʳ)ᵇ. Candidates are verified, so that a generous
    index costs time, never a false leak.
    """
    for rows in range(PERMUTATIONS // 2, 1, -1):
        bands = PERMUTATIONS // rows
        if (1 - threshold**rows) ** bands <= MISSED:
            return bands, rows
    return PERMUTATIONS, 1
