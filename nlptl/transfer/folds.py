"""Folds over the rows that teach: what a held-out domain would say of a choice, or else a held-out part."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints
from nlptl.errors import DataError

PARTS = 5
MOST_DOMAINS = 10
"""Up to so many domains each are a fold of their own; more are dealt, whole, to so many folds."""


def folds(
    *, labels: npt.NDArray[Any], domains: npt.NDArray[Any], groups: Ints, target_labels: int, seed: int
) -> list[tuple[Ints, Ints]]:
    """Pairs of (teaching, held-out) positions among the rows that teach one task.

    Whole domains are held out in turn where three or more teach and none of the labels is a target's; then a near copy
    of a held-out row does not teach in that fold. Else rows are held out in at most five parts with the classes'
    shares, and near copies stay together. A label that few rows have may be missing from one side of a fold.

    Args:
        labels: (rows,) classes, or (rows, labels) of a multilabel task.
        domains: (rows,) names.
        groups: (rows,) near-duplicate groups.
        target_labels: how many of the rows are a target's.

    Raises:
        DataError: the rows are too few, or too much alike, to be divided.
    """
    names = np.unique(domains.astype(str))
    if target_labels == 0 and len(names) >= 3:
        held_out = _whole_domains(domains, names)
    else:
        held_out = _parts(labels, groups, seed)
    pairs = [(_apart(groups, held), held) for held in held_out]
    pairs = [(teach, held) for teach, held in pairs if len(teach) and len(held)]
    if not pairs:
        raise DataError(
            f"the {len(labels)} rows that teach are near copies of one another, or one alone, and cannot be divided "
            "for cross-validation; name more domains in transfer.source, or raise transfer.target_labels."
        )
    return pairs


def _apart(groups: Ints, held: Ints) -> Ints:
    """The rows that share no group with ``held``."""
    return np.flatnonzero(~np.isin(groups, groups[held])).astype(np.int64)


def _whole_domains(domains: npt.NDArray[Any], names: npt.NDArray[Any]) -> list[Ints]:
    from sklearn.model_selection import GroupKFold

    if len(names) <= MOST_DOMAINS:
        return [np.flatnonzero(domains == name).astype(np.int64) for name in names]
    split = GroupKFold(MOST_DOMAINS).split(domains, None, domains.astype(str))
    return [held.astype(np.int64) for _, held in split]


def _parts(labels: npt.NDArray[Any], groups: Ints, seed: int) -> list[Ints]:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    parts = min(PARTS, len(np.unique(groups)))
    if parts < 2:
        return []
    if labels.ndim == 2:
        split = GroupKFold(parts, shuffle=True, random_state=seed).split(labels, None, groups)
        return [held.astype(np.int64) for _, held in split]
    # No more parts than the commonest class has rows; a rare class does not take rows from the teaching of all others.
    commonest = int(np.unique(labels, return_counts=True)[1].max())
    parts = min(parts, max(2, commonest))
    if commonest < 2:  # one row a class: there is nothing to stratify by, and scikit-learn refuses
        labels = np.zeros_like(labels)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        split = StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(labels, labels, groups)
        return [held.astype(np.int64) for _, held in split]
