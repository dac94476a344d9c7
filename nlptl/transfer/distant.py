"""A distant target is reached through the domains between: a chain of them, each answered by a head of the one before.

After Tan, Zhang, Pan & Yang 2017, "Distant domain transfer learning" (AAAI), in which examples of unlabelled domains
in between carry what the source knows to a target that shares too little with it; here by gradual self-training (Kumar,
Ma & Liang 2020, arXiv 2002.11361): a head answers the next domain, another is taught by the surest of these answers,
and so on until the target. Each step must be small, which is what the chain is chosen for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints

SUREST = 0.8
"""Share of a domain's texts whose answers teach the next head, the surest of each label: Kumar et al. leave out the
least confident tenth to fifth, since an error made here is passed on."""

Teach: TypeAlias = Callable[[Floats, Ints], Callable[[Floats], Floats]]
"""(rows, width) vectors and (rows,) labels → a head: (rows, width) vectors → (rows, labels) scores in nats."""


def distances(vectors: Sequence[Floats]) -> npt.NDArray[np.float64]:
    """Of (rows, width) vectors a domain: (domains, domains) distances of means, ``‖μ_a − μ_b‖ / s``, where s is the
    root-mean-square distance of a row from the mean of its own domain, over all domains."""
    means = np.array([np.asarray(of, dtype=np.float64).mean(axis=0) for of in vectors])
    within = [
        ((np.asarray(of, dtype=np.float64) - mean) ** 2).sum(axis=1) for of, mean in zip(vectors, means, strict=True)
    ]
    spread = float(np.sqrt(np.concatenate(within).mean())) or 1.0
    return np.asarray(np.linalg.norm(means[:, None] - means[None], axis=2) / spread)


def chain(steps: Floats, start: int, end: int) -> tuple[int, ...]:
    """The way from domain ``start`` to ``end`` whose longest step is the shortest there is, and of such ways the one
    that is shortest in sum; both ends included.

    An error of self-training grows with the length of a step, beyond any bound once steps are long (Kumar et al.,
    theorem 3.2), so it is the longest step that counts: a minimax path, found over the steps in order of length.

    Args:
        steps: (domains, domains) symmetric distances.
    """
    lengths = np.unique(steps[np.triu_indices(len(steps), 1)])
    bound = next(length for length in lengths if _shortest(steps, start, end, length) is not None)
    found = _shortest(steps, start, end, bound)
    assert found is not None
    return found


def _shortest(steps: Floats, start: int, end: int, longest: float) -> tuple[int, ...] | None:
    """Dijkstra's way over steps of at most ``longest``; None: there is none."""
    total = np.full(len(steps), np.inf)
    total[start] = 0.0
    before = np.full(len(steps), -1)
    todo = set(range(len(steps)))
    while todo:
        here = min(todo, key=lambda place: (total[place], place))
        todo.remove(here)
        if not np.isfinite(total[here]):
            break
        for there in todo:
            if steps[here, there] <= longest and total[here] + steps[here, there] < total[there]:
                total[there], before[there] = total[here] + steps[here, there], here
    if not np.isfinite(total[end]):
        return None
    way = [end]
    while way[-1] != start:
        way.append(int(before[way[-1]]))
    return tuple(reversed(way))


def surest(scores: Floats, share: float = SUREST) -> tuple[Ints, Ints]:
    """(rows, labels) scores → the rows that teach the next head, and their labels: of the rows that each label wins,
    the given share whose highest score is furthest above the next."""
    ordered = np.sort(scores, axis=1)
    margin, answers = ordered[:, -1] - ordered[:, -2], scores.argmax(axis=1)
    kept = []
    for label in range(scores.shape[1]):
        rows = np.flatnonzero(answers == label)
        kept.append(rows[np.argsort(-margin[rows], kind="stable")][: int(np.ceil(share * len(rows)))])
    rows = np.sort(np.concatenate(kept))
    return rows.astype(np.int64), answers[rows].astype(np.int64)


def along(source: tuple[Floats, Ints], unlabelled: Sequence[Floats], teach: Teach) -> tuple[Floats, Ints]:
    """The target's surest vectors with the labels that they were given at the end of the chain.

    Args:
        source: (rows, width) vectors and (rows,) labels.
        unlabelled: by step, (rows, width) vectors of the next domain, the target's last.
    """
    vectors, labels = source
    for there in unlabelled:
        rows, answers = surest(teach(vectors, labels)(there))
        if len(np.unique(answers)) < len(np.unique(labels)):
            break  # a label has been lost: what was known before is better than what would be taught now
        vectors, labels = np.asarray(there)[rows], answers
    return vectors, labels
