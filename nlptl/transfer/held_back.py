"""Which of the rows that teach are held back from it, to judge what the others taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import UNLABELLED, Ints


def hold_back(groups: Ints, order: Ints, classes: Sequence[Ints], many: int) -> npt.NDArray[np.bool_]:
    """(rows,) bool: at most ``many`` rows, whole groups of near copies, without which each class still has rows.

    A group is passed over where it would make them more than ``many``; where every group is larger than that, the
    smallest is held back all the same. None is where each has the last rows of some class.

    Args:
        groups: (rows,) near-duplicate groups.
        order: positions of rows that may be held back, with all of their groups; the first choice first.
        classes: each (rows,) classes, −1 where a row has none.
    """
    _, which = np.unique(groups, return_inverse=True)
    members = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    asked = [members[group] for group in dict.fromkeys(which[order].tolist())]
    left = [_counted(of, slice(None), 0) for of in classes]
    held = np.zeros(len(groups), dtype=bool)

    def taken(rows: Ints) -> list[Ints] | None:
        """``left`` without ``rows``; None where a class would have none left."""
        less = [counts - _counted(of, rows, len(counts)) for of, counts in zip(classes, left, strict=True)]
        lost = any(((now == 0) & (before > 0)).any() for now, before in zip(less, left, strict=True))
        return None if lost else less

    for rows in asked:
        if held.sum() + len(rows) <= many and (less := taken(rows)) is not None:
            held[rows], left = True, less
            if held.sum() == many:
                break
    if not held.any():
        held[next((rows for rows in sorted(asked, key=len) if taken(rows) is not None), order[:0])] = True
    return held


def _counted(classes: Ints, rows: Ints | slice, many: int) -> Ints:
    """How many of ``rows`` have each class, of ``many`` classes or more."""
    here = classes[rows]
    return np.bincount(here[here != UNLABELLED], minlength=many).astype(np.int64)


def classes_of(encoded: Mapping[str, npt.NDArray[Any]], rows: Ints) -> list[Ints]:
    """For each task, or each label of one with several labels a row: (rows,) classes, −1 where there is none."""
    found: list[Ints] = []
    for labels in encoded.values():
        here = labels[rows]
        if here.ndim == 1:
            found.append(here)
        else:  # NaN where there is no label, else 0 or 1
            found += [np.where(np.isnan(of), UNLABELLED, np.nan_to_num(of)).astype(np.int64) for of in here.T]
    return found
