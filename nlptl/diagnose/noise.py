"""Which labels are likely wrong? Confident learning, through cleanlab."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.errors import DataError

ALONE = (
    "left out: no label has two rows, and a label is held against what others of its kind teach; label more rows "
    "(nlptl suggest)"
)


class Noise(Diagnosis):
    """Rows whose label the held-out head contradicts, the likeliest mistakes first."""

    kind: Literal["noise"] = "noise"

    def measure(self, view: View) -> dict[str, Any]:
        """``rows``: places in the view, ``suggested``: the label found instead; or ``skipped``, and why.

        Reads ``probabilities`` of rows that did not teach them, else those of the head solved here on folds.
        """
        try:
            import cleanlab  # noqa: F401
        except ImportError:
            return {"skipped": "it needs the library cleanlab; install it with: pip install 'nlptl[noise]'"}
        (labels,) = view.need("labels")
        known = np.flatnonzero(labels >= 0)
        shown = view.labelled()
        [given] = shown.need("labels")
        found, classes = np.unique(given, return_inverse=True)
        if shown.probabilities is None:
            if np.bincount(classes).max() < 2:
                return {"skipped": ALONE}
            [features] = shown.need("features")
            shares = held_out(features, classes.astype(np.int64), shown.groups)
        elif shown.probabilities.shape[1] == len(found):
            shares = shown.probabilities
        else:
            raise DataError(f"probabilities have {shown.probabilities.shape[1]} columns and the labelled rows "
                            f"{len(found)} labels; give one a label.")  # fmt: skip
        wrong = likely_wrong(classes.astype(np.int64), shares)
        return {
            "rows": known[wrong].tolist(),
            "suggested": found[np.asarray(shares)[wrong].argmax(axis=1)].tolist(),
        }


def likely_wrong(labels: Ints, probabilities: Floats) -> Ints:
    """Places of rows that confident learning marks (Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating
    Uncertainty in Dataset Labels", prune by noise rate), the lowest probability of the given label first.

    Args:
        labels: (n,) class indices.
        probabilities: (n, classes) of rows that did not teach what gave them.
    """
    from cleanlab.filter import find_label_issues

    marked = find_label_issues(
        labels, np.asarray(probabilities, np.float64), return_indices_ranked_by="self_confidence", n_jobs=1
    )
    return np.asarray(marked, dtype=np.int64)


def held_out(features: Floats, labels: Ints, groups: Ints | None) -> Floats:
    """(n, labels) probabilities of the solved head on rows that did not teach it."""
    from nlptl.diagnose.probe import as_task, parts
    from nlptl.heads._solved import solve_head

    task, classes = as_task(labels)
    solved = solve_head(task, {"": features}, classes, parts(classes, groups, 5, 0))
    return task.probabilities(solved.out_of_fold)
