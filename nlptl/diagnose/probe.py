"""What the solved head itself reaches on rows that did not teach it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlptl.contracts import Floats, Head, Ints, Task
from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.errors import DataError


class Probe(Diagnosis):
    """Cross-validated loss and accuracy of the solved linear head."""

    kind: Literal["probe"] = "probe"
    folds: int = Field(5, ge=2, description="Parts that are held out in turn; near copies stay together.")
    seed: int = Field(0, ge=0, description="Of the parts.")

    def measure(self, view: View) -> dict[str, Any]:
        """``score``: minus the loss in nats a row, higher is better; ``accuracy``: share of rows answered rightly."""
        known = view.labelled()
        features, labels = known.need("features", "labels")
        loss, accuracy = cross_validated(features, labels, groups=known.groups, folds=self.folds, seed=self.seed)
        return {"score": -loss, "accuracy": accuracy}


def cross_validated(
    features: Floats, labels: Ints, *, groups: Ints | None = None, folds: int = 5, seed: int = 0
) -> tuple[float, float]:
    """(nats a row, accuracy) of the solved head on held-out rows, its prior's strength chosen on the same folds.

    Args:
        features: (n, width).
        labels: (n,) class indices.
        groups: (n,) rows that share a number stay in one fold.
    """
    from nlptl.heads._solved import solve_head

    task, classes = as_task(labels)
    solved = solve_head(task, {"": features}, classes, parts(classes, groups, folds, seed))
    right = task.probabilities(solved.out_of_fold).argmax(axis=1) == classes
    return solved.loss, float(right.mean())


def as_task(labels: Ints) -> tuple[Task, Ints]:
    """A task of the labels that are there, and the labels as its class indices."""
    found, classes = np.unique(labels, return_inverse=True)
    names = tuple(str(label) for label in found)
    return Task("", Head(kind="linear", labels=names), names), classes.astype(np.int64)


def parts(labels: Ints, groups: Ints | None, folds: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Stratified (teaching, held-out) positions; rows of one group stay together.

    Where no class has two rows there is nothing to stratify by, and rows are dealt as they come.

    Raises:
        DataError: all rows are copies of one another, and cannot be divided.
    """
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if groups is not None and len(np.unique(groups)) < 2:
        raise DataError(
            f"the {len(labels)} rows that are compared are near copies of one another, and cannot be divided for "
            "cross-validation; bring in more texts, such as by transfer.source or transfer.target_labels."
        )
    commonest = int(np.bincount(labels).max())
    count = min(folds, max(2, commonest))
    if commonest < 2:  # scikit-learn refuses
        labels = np.zeros_like(labels)
    # With every row a group of its own, the grouped split is the plain one and takes seconds instead of milliseconds.
    single = groups is None or len(np.unique(groups)) == len(groups)
    split = (StratifiedKFold if single else StratifiedGroupKFold)(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        pairs = list(split.split(labels, labels, None if single else groups))
    return [(a.astype(np.int64), b.astype(np.int64)) for a, b in pairs if len(a) and len(b)]
