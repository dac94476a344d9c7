"""Source domains weighed for the targets of a turn, by what each one's head says of the targets' unlabelled texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.encoder.lexical import Lexical
from nlptl.evaluate._scores import decide
from nlptl.fitting.corpus import Corpus, Vectors
from nlptl.heads._solved import Solved
from nlptl.heads._weighted import solve_weighted
from nlptl.transfer.needs import sources_to_weigh, target_texts
from nlptl.transfer.plan import Turn
from nlptl.transfer.weigh import NEAREST, nearest, similarity, trust


@dataclass(frozen=True)
class Weighed:
    """The sources of a turn for one task: what each is trusted to get right, its weight, and that of every row."""

    trusted: Mapping[str, float]
    weights: Mapping[str, float]
    rows: Floats


def weigh_sources(
    corpus: Corpus, vectors: Vectors, turn: Turn, task: str, like: Solved, lexical: Lexical | None, *, how: str
) -> Weighed:
    """Weights of the sources of ``task``; the target's own labelled rows weigh 1.

    Args:
        like: a head over all of the turn's teaching rows, for its reading and precisions.
        how: ``similarity`` or ``nearest:k``.

    Raises:
        RecipeError: the targets have no unlabelled texts, or one source teaches alone.
    """
    taught = corpus.labelled(task, turn.teach)
    texts = target_texts(turn, corpus.domains, kind=f"transfer.weigh: {how}")
    domains = corpus.domains[taught].astype(str)
    names = sources_to_weigh(turn, domains, how=how)
    alone = np.array([domains == name for name in names])
    answers = _answers(corpus, vectors, taught, texts, task, like, lexical, alone)
    of_task = corpus.tasks[task]
    labels = 2 if of_task.head.multilabel else len(of_task.labels)
    trusted = trust(answers, labels=labels)
    asked = NEAREST.fullmatch(how)
    weights = nearest(trusted, names, int(asked[1])) if asked else similarity(trusted, labels=labels, rows=len(texts))
    rows = np.ones(len(taught))
    for of_source, weight in zip(alone, weights, strict=True):
        rows[of_source] = weight
    return Weighed(
        trusted=dict(zip(names, trusted.tolist(), strict=True)),
        weights=dict(zip(names, weights.tolist(), strict=True)),
        rows=rows,
    )


def _answers(
    corpus: Corpus, vectors: Vectors, taught: Ints, texts: Ints, task: str, like: Solved, lexical: Lexical | None,
    groups: Any,
) -> Ints:  # fmt: skip
    """(groups, texts) labels by the heads of each group of teaching rows; (groups, texts, labels) if multilabel."""
    words = None if lexical is None else lexical.transform(list(corpus.texts[taught]))
    of_texts = None if lexical is None else lexical.transform(list(corpus.texts[texts]))
    of_task = corpus.tasks[task]
    heads = solve_weighted(
        of_task, like, vectors.of(taught, like.reading), corpus.encoded[task][taught], words, groups.astype(np.float64)
    )
    readings = vectors.of(texts, like.reading)
    shares = [of_task.probabilities(head.logits(readings, of_texts)) for head in heads]
    return np.array([decide(each, multilabel=of_task.head.multilabel) for each in shares])
