"""The rungs that are solved for a domain, cheap to dear, in earnest and in rehearsals.

A rehearsal lets rows whose labels are known play the target's scored ones: the rows of a source domain, which shows as
many labels as the target does and lends as many unlabelled texts; or a fold of the labels that the target shows. Every
rung is solved in every situation at the prior precisions that the turn's own search chose, in few batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints, Task
from nlptl.errors import DataError
from nlptl.evaluate._scores import correct
from nlptl.heads._domains import GroupedRows, choose_spread, deviate
from nlptl.heads._label_shares import em_shares, moved, taught_shares
from nlptl.heads._scaling import Scaling
from nlptl.heads._solved import LinearWeights, Solved, solve_head
from nlptl.heads._weighted import solve_weighted
from nlptl.transfer.folds import folds as make_folds

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

RUNGS = ("solved", "label_shift", "target_only", "per_domain")
"""From cheap to dear: one head for all; that head with its intercepts moved to the target's label shares; a head of the
target's labels alone; the sources' head, and away from it as far as the target's labels ask."""


@dataclass(frozen=True, eq=False)
class Table:
    """The rows that the situations of one task in one turn are made of.

    Attributes:
        vectors: (rows, width) of the reading that the turn chose; ``words`` (rows, words) beside them, or None.
        encoded: labels as ``Task.encode`` gives them, hidden where they must not be seen.
        groups: (rows,) near-duplicate groups.
        temperature: what logits of the turn's head must be divided by to be calibrated.
    """

    task: Task
    vectors: Floats
    words: csr_matrix | None
    encoded: npt.NDArray[Any]
    groups: Ints
    temperature: float

    def logits(self, head: LinearWeights, rows: Ints) -> npt.NDArray[np.float64]:
        """(rows, outputs) of ``head`` for the rows at these positions."""
        return head.logits(self.vectors[rows], None if self.words is None else self.words[rows])


@dataclass(frozen=True, eq=False)
class Situation:
    """One domain that is served, or plays so, as positions in a table.

    Attributes:
        teach: rows of other domains; ``shown`` the domain's own whose labels teach.
        unlabelled: the domain's rows whose texts may be read.
        scored: the rows to answer; none that teaches shares a text with them.
    """

    teach: Ints
    shown: Ints
    unlabelled: Ints
    scored: Ints


def solve_rungs(
    table: Table, like: Solved, situations: Sequence[Situation], *, seed: int
) -> list[dict[str, LinearWeights]]:
    """The heads of every situation by rung; a rung that it has no labels or texts for is left out.

    Args:
        like: the turn's own head, for its reading, precisions and calibration.
        seed: of the folds by which a head of the target's labels alone chooses its precision.
    """
    together = [np.r_[situation.teach, situation.shown] for situation in situations]
    climbed = [{"solved": head} for head in solve_each(table, like, together)]
    showing = [place for place, situation in enumerate(situations) if len(situation.shown)]
    for place, head in zip(showing, _per_domain(table, like, [situations[p] for p in showing]), strict=True):
        alone = _target_only(table, like, situations[place].shown, seed)
        climbed[place] |= {"per_domain": head} if alone is None else {"target_only": alone, "per_domain": head}
    if not table.task.head.multilabel:
        for rungs, situation, taught in zip(climbed, situations, together, strict=True):
            if len(situation.unlabelled):
                rungs["label_shift"] = _label_shift(table, rungs["solved"], taught, situation.unlabelled)
    return climbed


def right(table: Table, head: LinearWeights, situation: Situation) -> npt.NDArray[np.bool_]:
    """(scored rows,) bool: which of the situation's scored rows ``head`` answers rightly."""
    shares = table.task.probabilities(table.logits(head, situation.scored))
    return correct(shares, table.encoded[situation.scored])


def solve_each(table: Table, like: Solved, taught: Sequence[Ints]) -> list[LinearWeights]:
    """One head for each group of teaching rows; equal groups are solved once."""
    masks = np.zeros((len(taught), len(table.vectors)))
    for mask, rows in zip(masks, taught, strict=True):
        mask[rows] = 1
    distinct, which = np.unique(masks, axis=0, return_inverse=True)
    heads = solve_weighted(table.task, like, table.vectors, table.encoded, table.words, distinct)
    return [heads[place] for place in which.ravel()]


def _label_shift(table: Table, head: LinearWeights, taught: Ints, unlabelled: Ints) -> LinearWeights:
    shares = taught_shares(table.task, table.encoded[taught])
    posteriors = table.task.probabilities(table.logits(head, unlabelled) / table.temperature)
    return moved(table.task, head, shares, em_shares(posteriors, shares), table.temperature)


def _target_only(table: Table, like: Solved, shown: Ints, seed: int) -> LinearWeights | None:
    """The head of the shown labels alone; None where they are too few to be divided or show one label only."""
    labels = table.encoded[shown]
    if not np.any(labels.min(axis=0) != labels.max(axis=0)):
        return None
    domains = np.zeros(len(shown), dtype=object)
    try:
        folds = make_folds(
            labels=labels, domains=domains, groups=table.groups[shown], target_labels=len(shown), seed=seed
        )
    except DataError:
        return None
    vectors = {like.reading: table.vectors[shown]}
    if table.words is None:
        return solve_head(table.task, vectors, labels, folds)
    # Words that no shown text has would only cost time: their weights stay zero.
    used = np.unique(table.words[shown].indices)
    head = solve_head(table.task, vectors, labels, folds, table.words[shown][:, used])
    words = np.zeros((table.words.shape[1], table.task.outputs))
    words[used] = head.words
    return replace(head, words=words)


def _per_domain(table: Table, like: Solved, situations: Sequence[Situation]) -> list[LinearWeights]:
    """The head of the other domains, which has seen none of the situation's own rows, and what these add to it; how far
    domains may differ is estimated over all situations together."""
    if not situations:
        return []
    without = solve_each(table, like, [situation.teach for situation in situations])
    shown = np.concatenate([situation.shown for situation in situations])
    ends = np.cumsum([len(situation.shown) for situation in situations])
    scaling = Scaling.of(table.vectors)
    rows = GroupedRows(
        vectors=scaling(table.vectors[shown]),
        targets=table.task.targets(table.encoded[shown]),
        offsets=np.concatenate([table.logits(h, s.shown) for h, s in zip(without, situations, strict=True)]),
        members=np.split(np.arange(len(shown)), ends[:-1]),
        link=table.task.link,
    )
    spread, _ = choose_spread(rows)
    found = deviate(rows, spread)
    heads = []
    for head, weights, bias in zip(without, found.weights, found.bias, strict=True):
        own_weights, own_bias = scaling.raw(weights, bias)
        heads.append(replace(head, weights=head.weights + own_weights, bias=head.bias + own_bias))
    return heads
