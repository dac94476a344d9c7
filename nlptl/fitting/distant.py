"""Distant transfer: a solved head carried from the sources through domains in between to a target without labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.fitting.corpus import Corpus, Vectors
from nlptl.heads._solved import Solved
from nlptl.heads._weighted import solve_weighted
from nlptl.transfer.distant import along, chain, distances
from nlptl.transfer.needs import one_target, target_texts
from nlptl.transfer.plan import Turn

SOURCES = "sources"
"""What the pooled rows that teach are called in the record of a way."""


def reach(
    corpus: Corpus, vectors: Vectors, turn: Turn, name: str, solved: Solved, *, always: bool = False
) -> tuple[Solved, dict[str, Any]]:
    """The head of task ``name`` at the end of the way to the target, and the way: its domains and the lengths of its
    steps. Where nothing lies in between, the head stays as it is.

    Args:
        solved: the head that the sources teach, whose reading and precisions all later ones have.
        always: train on the target's own texts even where nothing lies in between.

    Raises:
        RecipeError: the turn serves several targets, or the target has no unlabelled text, once copies are left out.
    """
    one_target(turn, what="transfer.through leads to")
    target_texts(turn, corpus.domains, kind="transfer.through")
    [target] = turn.targets
    domains = corpus.domains[turn.unlabelled].astype(str)
    taught = corpus.labelled(name, turn.teach)
    between = sorted(set(domains) - {target, *turn.sources})
    start = vectors.of(taught, solved.reading)
    texts = [vectors.of(turn.unlabelled[domains == domain], solved.reading) for domain in (*between, target)]
    steps = distances([start, *texts])
    way = chain(steps, 0, len(texts))
    record = {
        "way": [SOURCES, *((*between, target)[place - 1] for place in way[1:])],
        "steps": [float(steps[one, other]) for one, other in pairwise(way)],
        "direct": float(steps[0, -1]),
    }
    if len(way) == 2 and not always:
        return solved, record
    task = corpus.tasks[name]

    def head(x: Floats, labels: Ints) -> Any:
        return solve_weighted(task, solved, x, labels, None, np.ones((1, len(x))))[0]

    def teach(x: Floats, labels: Ints) -> Callable[[Floats], Floats]:
        taught = head(x, labels)
        return lambda of: np.log(np.maximum(task.probabilities(taught.logits(of)), 1e-300))

    reached = head(*along((start, corpus.encoded[name][taught]), [texts[place - 1] for place in way[1:]], teach))
    return replace(solved, weights=reached.weights, bias=reached.bias), record
