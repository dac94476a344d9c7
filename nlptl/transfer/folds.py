"""Folds over the rows that teach: what a held-out domain would say of a choice, or else a held-out part."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints

PARTS = 5


def folds(
    *, labels: npt.NDArray[Any], domains: npt.NDArray[Any], groups: Ints, target_labels: int, seed: int
) -> list[tuple[Ints, Ints]]:
    """Pairs of (teaching, held-out) positions among the rows that teach one task.

    Whole domains are held out in turn where three or more teach and none of the labels is a target's; then a near copy
    of a held-out row does not teach in that fold. Else rows are held out in five parts with the classes' shares, and
    near copies stay together.

    Args:
        labels: (rows,) classes, or (rows, labels) of a multilabel task.
        domains: (rows,) names.
        groups: (rows,) near-duplicate groups.
        target_labels: how many of the rows are a target's.
    """
    names = np.unique(domains.astype(str))
    if target_labels == 0 and len(names) >= 3:
        held_out = [np.flatnonzero(domains == name) for name in names]
    else:
        held_out = _parts(labels, groups, seed)
    pairs = [(_apart(groups, held), held) for held in held_out]
    return [(teach, held) for teach, held in pairs if len(teach) and len(held)]


def _apart(groups: Ints, held: Ints) -> Ints:
    """The rows that share no group with ``held``."""
    return np.flatnonzero(~np.isin(groups, groups[held])).astype(np.int64)


def _parts(labels: npt.NDArray[Any], groups: Ints, seed: int) -> list[Ints]:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    parts = min(PARTS, len(np.unique(groups)))
    if labels.ndim == 2:
        split = GroupKFold(parts, shuffle=True, random_state=seed).split(labels, None, groups)
        return [held.astype(np.int64) for _, held in split]
    # A class of fewer rows than parts cannot be in each; as many parts as the rarest class has rows, but two at least.
    rarest = int(np.unique(labels, return_counts=True)[1].min())
    parts = min(parts, max(2, rarest))
    if rarest == 1:  # scikit-learn refuses to stratify by a class of one row
        split = GroupKFold(parts, shuffle=True, random_state=seed).split(labels, None, groups)
    else:
        split = StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(labels, labels, groups)
    return [held.astype(np.int64) for _, held in split]
