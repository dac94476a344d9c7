"""The leak guard: no text, nor a near copy of it, both teaches and is scored.

Exact copies are equal once case, spacing and punctuation are taken away. Near copies are found by MinHash with banding
(Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman & Ullman 2014, ch. 3) through
``datasketch``, and verified by the Jaccard similarity of their sets of three-word shingles.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints
from nlptl.errors import DataError
from nlptl.transfer.plan import Turn

if TYPE_CHECKING:
    from datasets import Dataset

SHINGLE = 3
PERMUTATIONS = 64
SCHEME = "affine32"
MAX_WORDS = 1000
"""Words of a text that are compared; what comes after is not looked at."""


@dataclass(frozen=True)
class Leaks:
    """Teaching rows that copy a scored one: exactly, nearly, and how many of them were dropped."""

    exact: int
    near: int
    dropped: int


@dataclass(frozen=True, eq=False)
class Signatures:
    """What two texts are compared by, worked out once for all turns.

    ``texts`` (rows,) numbers equal normalised texts equally; ``shingles`` and ``sketches`` are by that number.
    """

    texts: Ints
    shingles: Sequence[npt.NDArray[np.uint32]]
    sketches: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Signatures:
        """Of all rows of a data set."""
        from datasketch import MinHash

        whole = texts if pairs is None else [f"{text}\n{pair}" for text, pair in zip(texts, pairs, strict=True)]
        normal = [normalise(text) for text in whole]
        numbers: dict[str, int] = {}
        places = np.array([numbers.setdefault(text, len(numbers)) for text in normal], dtype=np.int64)
        shingles = [_shingles(text) for text in numbers]
        blank = MinHash(PERMUTATIONS, seed=1, hashfunc=int, scheme=SCHEME)
        sketches = np.full((len(shingles), PERMUTATIONS), np.iinfo(np.uint32).max, dtype=np.uint64)
        for place, found in enumerate(shingles):
            sketch = blank.copy()
            sketch.update_batch(found.tolist())
            sketches[place] = sketch.hashvalues
        return cls(places, shingles, sketches)

    def near(self, taught: Ints, scored: Ints, threshold: float) -> npt.NDArray[np.bool_]:
        """Which text numbers of ``taught`` have a near copy, not an exact one, among ``scored``."""
        index = self._index(np.unique(scored), threshold)
        found = np.zeros(len(taught), dtype=bool)
        for place, number in enumerate(taught):
            others = [other for other in index.query(self._sketch(number)) if other != number]
            found[place] = any(self.jaccard(number, other) >= threshold for other in others)
        return found

    def groups(self, rows: Ints, *, near: float) -> Ints:
        """(rows,) group numbers: rows whose texts are copies, exact or near, of one another or of a third share one."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        numbers = np.unique(self.texts[rows])
        index = self._index(numbers, near)
        edges = [
            (place, int(np.searchsorted(numbers, other)))
            for place, number in enumerate(numbers)
            for other in index.query(self._sketch(number))
            if other > number and self.jaccard(number, other) >= near
        ]
        left, right = np.array(edges, dtype=np.int64).reshape(-1, 2).T
        graph = coo_matrix((np.ones(len(edges)), (left, right)), shape=(len(numbers), len(numbers)))
        _, labels = connected_components(graph, directed=False)
        return np.asarray(labels, dtype=np.int64)[np.searchsorted(numbers, self.texts[rows])]

    def jaccard(self, one: int, other: int) -> float:
        """Shared shingles over all shingles of two texts."""
        shared = len(np.intersect1d(self.shingles[one], self.shingles[other], assume_unique=True))
        return shared / max(1, len(self.shingles[one]) + len(self.shingles[other]) - shared)

    def _index(self, numbers: Ints, threshold: float) -> Any:
        from datasketch import MinHashLSH

        # Candidates are verified, so that the index may be generous: misses cost more than false candidates.
        index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=(0.1, 0.9))
        with index.insertion_session() as session:
            for number in numbers:
                session.insert(int(number), self._sketch(number), check_duplication=False)
        return index

    def _sketch(self, number: int) -> Any:
        from datasketch import LeanMinHash

        return LeanMinHash(seed=1, hashvalues=self.sketches[number], scheme=SCHEME)


def guard(
    turn: Turn, signatures: Signatures, *, leaks: Literal["drop", "keep", "fail"], near: float
) -> tuple[Turn, Leaks]:
    """``turn`` without the teaching rows, labelled or not, whose text is a copy of a scored one.

    With ``keep`` they are counted only. Scored rows that a transductive recipe lets methods read stay.

    Raises:
        DataError: with ``fail``, where there is any.
    """
    scored = signatures.texts[turn.score]
    rows = np.unique(np.concatenate([turn.teach, turn.validate, turn.unlabelled]))
    rows = rows[~np.isin(rows, turn.score)]
    exact = np.isin(signatures.texts[rows], scored)
    nearly = np.zeros(len(rows), dtype=bool)
    nearly[~exact] = signatures.near(signatures.texts[rows[~exact]], scored, near)
    leaking = rows[exact | nearly]
    found = Leaks(int(exact.sum()), int(nearly.sum()), len(leaking) if leaks == "drop" else 0)
    if leaks == "fail" and len(leaking):
        raise DataError(
            f"turn {turn.name!r}: {found.exact} teaching rows are copies of scored rows and {found.near} nearly so; "
            "set transfer.leaks: drop to leave them out of the teaching."
        )
    if leaks != "drop":
        return turn, found
    teach, validate, unlabelled = (
        part[~np.isin(part, leaking)] for part in (turn.teach, turn.validate, turn.unlabelled)
    )
    return replace(turn, teach=teach, validate=validate, unlabelled=unlabelled), found


def normalise(text: str) -> str:
    """``text`` without what copies differ in: case, spacing, punctuation, compatible forms of characters (NFKC)."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


_WORD = re.compile(r"\w+")


def _shingles(text: str) -> npt.NDArray[np.uint32]:
    """Hashes of the sets of three words in a row, sorted; of a shorter text, of the whole."""
    import xxhash

    words = text.split()[:MAX_WORDS]
    runs = (" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1)))
    return np.unique(np.fromiter((xxhash.xxh32_intdigest(run.encode()) for run in runs), dtype=np.uint32))
