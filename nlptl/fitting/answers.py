"""What a model answers on the scored rows of a turn, and who serves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.evaluate.predictions import Scored
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.domains import PER_DOMAIN
from nlptl.progress import bar
from nlptl.saved import Model
from nlptl.saved.domains import DomainHeads
from nlptl.transfer.plan import Turn

if TYPE_CHECKING:
    from nlptl.fitting.setting import Setting, SolvedTurn


def inputs(setting: Setting, model: Model, rows: Ints) -> dict[str, Any]:
    """What ``Model.probabilities`` and its like are given of any rows of the corpus; a body that did not learn is not
    run again."""
    corpus, network = setting.corpus, model.network
    texts, pairs = corpus.texts_of(rows)
    return {
        "texts": texts,
        "pairs": pairs,
        "domains": [str(domain) for domain in corpus.domains[rows]],
        "readings": setting.vectors.parts(rows, network.readings) if network.backbone is setting.backbone else None,
    }


def answer(setting: Setting, turn: Turn, model: Model) -> dict[str, Floats]:
    """By task: (scored rows, labels) probabilities."""
    with bar(f"answer {turn.name}") as progress:
        return model.probabilities(**inputs(setting, model, turn.score), progress=progress)


def logits_of(setting: Setting, model: Model, rows: Ints) -> dict[str, Floats]:
    """By task: (rows, outputs) logits of any rows of the corpus, before calibration."""
    return model.logits(**inputs(setting, model, rows))


def scored_rows(
    corpus: Corpus, turn: Turn, task: str, probabilities: Mapping[str, Floats], seed: int, rung: str,
    domain_heads: DomainHeads | None,
) -> Scored:  # fmt: skip
    """The rows of ``turn`` that have a label for ``task``, with every system's answers.

    Args:
        probabilities: by system, (scored rows, labels).
        rung: that serves the domains which ``domain_heads`` does not.
    """
    has_label = corpus.tasks[task].labelled(corpus.encoded[task][turn.score])
    rows = turn.score[has_label]
    apart = frozenset(() if domain_heads is None or domain_heads.spread.pooled else domain_heads.names)
    return Scored(
        seed=seed,
        turn=turn.name,
        task=task,
        ids=corpus.ids[rows],
        domains=corpus.domains[rows],
        labels=corpus.encoded[task][rows],
        copies=corpus.copies[rows],
        probabilities={system: values[has_label] for system, values in probabilities.items()},
        shipped=np.array([PER_DOMAIN if name in apart else rung for name in corpus.domains[rows]], dtype=object),
    )


def chosen_rows(solved: SolvedTurn, beside: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """What each task's solved head chose on its folds, one row a task; ``beside`` adds what else was found."""
    return tuple(
        {
            "task": name,
            "reading": s.reading,
            "precision of vectors": s.precision[0],
            "precision of words": None if s.words is None else s.precision[1],
            **({"scale of prior": s.prior_scale} if getattr(solved.model.tasks[name].head, "prior", None) else {}),
            "loss": s.loss,
            "folds": len(solved.folds[name]),
            **beside.get(name, {}),
        }
        for name, s in solved.heads.items()
    ) + tuple(
        {"task": name, "reading": c.reading, **c.chosen, **beside.get(name, {})} for name, c in solved.closed.items()
    )
