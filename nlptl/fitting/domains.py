"""Per-domain heads of one task: what each domain that teaches adds to the solved head that all share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Task
from nlptl.heads._domains import GroupedRows, choose_spread, deviate, deviate_out_of_fold
from nlptl.heads._domains_each import choose_taus
from nlptl.heads._scaling import Array, Scaling
from nlptl.heads._solved import Folds, Solved
from nlptl.heads._weighted import solve_weighted
from nlptl.recipe.rules_heads import asks_unseen_rows
from nlptl.saved.domains import DomainHeads

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from nlptl.fitting.setting import Setting, SolvedTurn
    from nlptl.transfer.plan import Turn

PER_DOMAIN = "per_domain"
"""The rung of a domain that a head of its own serves."""


def per_domain(
    setting: Setting, turn: Turn, solved: SolvedTurn, folds_by_row: Callable[[str], Folds]
) -> tuple[dict[str, DomainHeads], dict[str, dict[str, Any]], dict[str, Array]]:
    """By task whose head is per domain: what each domain adds to the shared one, what was chosen for that, and, where
    something rests on them, the (rows, outputs) logits of the rows that teach, out of fold.

    Args:
        folds_by_row: of a task, folds that hold out rows of every domain, and no whole domain.
    """
    corpus, words = setting.corpus, solved.model.words
    fitted, chosen, out_of_fold = {}, {}, {}
    for name, task in corpus.tasks.items():
        if getattr(task.head, "per", None) == "domain":
            rows, head = corpus.labelled(name, turn.teach), solved.heads[name]
            folds = solved.folds[name] if turn.labels_of_target else folds_by_row(name)
            own = getattr(task.head, "spread", "shared") == "own"
            fitted[name], chosen[name], grouped, taus = fit_domain_heads(
                task,
                head,
                setting.vectors.of(rows, head.reading),
                None if words is None else words.lexical.transform(list(corpus.texts[rows])),
                corpus.encoded[name][rows],
                list(corpus.domains[rows]),
                None if turn.labels_of_target else folds,
                folds if own else None,
                solved.weights.get(name),
            )
            if asks_unseen_rows(task.head) is not None:
                out_of_fold[name] = deviate_out_of_fold(grouped, fitted[name].spread, folds, taus)
    return fitted, chosen, out_of_fold


def fit_domain_heads(
    task: Task,
    solved: Solved,
    vectors: Floats,
    words: csr_matrix | None,
    encoded: npt.NDArray[Any],
    domains: Sequence[str],
    folds: Folds | None,
    own_folds: Folds | None = None,
    weights: Floats | None = None,
) -> tuple[DomainHeads, dict[str, Any], GroupedRows, Array | None]:
    """The heads of all domains among the rows that teach; what was chosen: τ, σ, and the evidence for them; the rows
    that they are fitted on; and each domain's own τ, where that is asked for.

    Args:
        solved: the shared head, taught by the same rows.
        vectors: (rows, width) of the reading that it chose; ``words`` (rows, words) beside them, or None.
        encoded: labels as ``Task.encode`` gives them; every row is labelled.
        domains: (rows,) names.
        folds: over rows, for the shared head's logits out of fold; None: those it was chosen with held rows out too.
            Where they held out whole domains, a domain's logits come from a head that knows nothing of it, which is not
            the one it is served with.
        own_folds: choose each domain's own τ, given σ; None: all have the one that the evidence is highest for. A
            domain that is added later has that one.
        weights: (rows,) how much each counted for the shared head; None: all the same.
    """
    scaling = Scaling.of(vectors)
    names, of_row = np.unique(np.asarray(domains, dtype=str), return_inverse=True)
    offsets = solved.out_of_fold
    if folds is not None:
        offsets = _out_of_fold(task, solved, vectors, words, encoded, folds, weights)
    rows = GroupedRows(
        vectors=scaling(vectors),
        targets=task.targets(encoded),
        offsets=offsets,
        members=[np.flatnonzero(of_row == place) for place in range(len(names))],
        link=task.link,
    )
    spread, gain = choose_spread(rows)
    taus = None if own_folds is None else choose_taus(rows, own_folds, sigma=spread.intercept)
    heads = DomainHeads(spread, scaling, tuple(map(str, names)), deviate(rows, spread, taus))
    chosen = {"tau": spread.weights, "tau of intercept": spread.intercept, "evidence over pooling": gain}
    if taus is not None:
        chosen["own tau, median"] = float(np.median(taus))
    return heads, chosen, rows, taus


def _out_of_fold(
    task: Task,
    solved: Solved,
    vectors: Floats,
    words: csr_matrix | None,
    encoded: npt.NDArray[Any],
    folds: Folds,
    weights: Floats | None,
) -> Array:
    """(rows, outputs) logits of heads like ``solved``, each row's by one that did not see it."""
    teaches = np.zeros((len(folds), len(vectors)))
    for fold, (teach, _) in enumerate(folds):
        teaches[fold, teach] = 1 if weights is None else weights[teach]
    logits = np.zeros((len(vectors), task.outputs))
    for head, (_, held) in zip(solve_weighted(task, solved, vectors, encoded, words, teaches), folds, strict=True):
        logits[held] = head.logits(vectors[held], None if words is None else words[held])
    return logits
