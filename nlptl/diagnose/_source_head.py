"""What the sources' solved head says of rows that did not teach it, on both sides alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints, Task
from nlptl.contracts.diagnose import View

if TYPE_CHECKING:
    from nlptl.heads._solved import Solved

FOLDS = 5
STRATA = 10
"""Of equally many rows, by what the head says of them."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SourceHead:
    """The sources' head, cross-fitted: each row of either side is answered by a head that no row of its fold taught.

    So the answers on both sides are draws from one distribution where the texts are. Logits are calibrated by one
    number on the sources' held-out rows.

    Attributes:
        task: of the labels that the sources have.
        here: (rows,) bool: rows of the target; sources come first.
        features: (rows, width), of sources that have a label and of all rows of the target.
        labels: (rows,) indices of the task's labels, −1 where the target's row has none.
        probabilities: (rows, labels).
        logits: (rows of the target, outputs) of the head that all rows of the sources taught, calibrated.
        spread: (outputs, rows of the target, rows of the target) posterior covariances of these logits: how little the
            sources' rows say of texts unlike theirs.
    """

    task: Task
    here: npt.NDArray[np.bool_]
    features: Floats
    labels: Ints
    probabilities: Array
    logits: Array
    spread: Array

    @classmethod
    def of(cls, view: View, *, seed: int) -> SourceHead:
        """Solve the sources' head of ``view`` and answer both sides; ``seed`` is of the folds.

        Raises:
            DataError: the sources show fewer than two labels, or the target has no row.
        """
        from nlptl.diagnose.probe import as_task, parts
        from nlptl.heads._solved import solve_head
        from nlptl.heads._temperature import fit_temperature
        from nlptl.heads._weighted import solve_weighted

        sources, target = view.sides()
        sources = sources.labelled()
        taught, given = sources.need("features", "labels")
        [vectors] = target.need("features")
        task, labels = as_task(given)
        folds = parts(labels, sources.groups, FOLDS, seed)
        solved = solve_head(task, {"": taught}, labels, folds)
        rng = np.random.default_rng(seed)
        masks = np.ones((len(folds), len(labels)))
        for place, (_, held) in enumerate(folds):
            masks[place, held] = 0
        heads = solve_weighted(task, solved, taught, labels, None, masks)
        answers = np.stack([head.logits(vectors) for head in heads])
        fold = rng.permutation(len(vectors)) % len(folds)
        heat = fit_temperature(task, solved.out_of_fold, labels)
        crossed = np.concatenate([solved.out_of_fold, answers[fold, np.arange(len(vectors))]]) / heat
        shown = target.labels if target.labels is not None else np.full(len(vectors), -1)
        known = {label: place for place, label in enumerate(np.unique(given))}
        return cls(
            task=task,
            here=np.arange(len(crossed)) >= len(labels),
            features=np.concatenate([taught, vectors]),
            labels=np.concatenate([labels, [known.get(label, -1) for label in shown.tolist()]]).astype(np.int64),
            probabilities=np.asarray(task.probabilities(crossed)),
            logits=np.asarray(solved.logits(vectors)) / heat,
            spread=posterior(task, solved, taught, vectors) / heat**2,
        )

    def strata(self) -> Ints:
        """(rows,) numbers of groups of rows of which the head says nearly the same.

        Under mere label shift the ratio of the two densities of a text depends on p(y | text) alone, so that within
        such a group texts of both sides are alike.
        """
        answer = self.probabilities.argmax(axis=1) if self.probabilities.shape[1] > 2 else np.zeros(len(self.here))
        sure = self.probabilities[:, -1] if self.probabilities.shape[1] == 2 else self.probabilities.max(axis=1)
        strata = np.zeros(len(sure), dtype=np.int64)
        for label in np.unique(answer):
            rows = np.flatnonzero(answer == label)
            count = max(1, round(STRATA * len(rows) / len(sure)))
            strata[rows] = int(label) * STRATA + sure[rows].argsort().argsort() * count // len(rows)
        return strata


def posterior(task: Task, solved: Solved, taught: Floats, vectors: Floats) -> Array:
    """(outputs, rows, rows) covariances of a solved head's logits on ``vectors``, by Laplace's approximation.

    Σ_k = X (TᵀV_k T + Λ)⁻¹ Xᵀ with T the rows that taught, V_k = diag p_k (1 − p_k), Λ the prior's precisions, and one
    output at a time (MacKay 1992, "The Evidence Framework Applied to Classification Networks").
    """
    from nlptl.heads._grid import INTERCEPT_PRECISION
    from nlptl.heads._scaling import Scaling

    scaling = Scaling.of(taught)
    design, asked = (np.hstack([scaling(rows), np.ones((len(rows), 1))]) for rows in (taught, vectors))
    shares = task.probabilities(solved.logits(taught))[:, -task.outputs :]
    prior = np.full(design.shape[1], solved.precision[0])
    prior[-1] = INTERCEPT_PRECISION
    return np.stack([
        asked @ np.linalg.solve((design.T * (p * (1 - p))) @ design + np.diag(prior), asked.T) for p in shares.T
    ])  # fmt: skip
