"""What to label next: rows of the targets that neither teach nor are scored, those first whose labels teach most."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import numpy as np

from nlptl.contracts import UNLABELLED, Floats, Ints
from nlptl.contracts.diagnose import View
from nlptl.diagnose.suggest import Suggest
from nlptl.diagnosing.look import READING, Look
from nlptl.errors import DataError
from nlptl.fitting.heads import names_by_reading
from nlptl.heads._evidence import softmax
from nlptl.heads._names import directions, label_vectors
from nlptl.heads._solved import solve_head
from nlptl.heads._student import zero_shot
from nlptl.recipe import Recipe
from nlptl.transfer.folds import folds
from nlptl.transfer.plan import Turn

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("nlptl")


def suggest(
    recipe: Recipe, *, n: int = 50, by: Literal["uncertainty", "diversity", "both"] = "both", most: int = 20_000
) -> pd.DataFrame:
    """At most ``n`` rows in the order in which to label them: id, domain, text, the head's answer, and its margin (the
    first label's probability less the second's; 0: it cannot tell). Both are empty where nothing can answer yet.

    They are the targets' rows whose texts may be read and that neither teach nor are scored, one of each group of
    near copies; of more than ``most`` as many are drawn. The head is solved on the rows that teach. Where they have
    fewer than two labels, what the labels are called answers (``names`` of the head); where that is not said either,
    rows are chosen by diversity, and a warning says so.

    Raises:
        DataError: no such row is left.
    """
    import pandas as pd

    look = Look.at(recipe, blind=True)
    kept, features, answers = [], [], []
    for turn in look.turns:
        rows = look.drawn(_free(look, turn), most)
        if len(rows):
            vectors, shares = _answers(look, turn, rows)
            kept.append(rows)
            features.append(vectors)
            answers.append(shares)
    if not kept:
        raise DataError(
            "every row of the targets is scored or teaches, and none is left to label; add unlabelled rows (an empty "
            "label), lower transfer.hold_out, or set transfer.target_labels below all."
        )
    rows, answered = np.concatenate(kept), [shares for shares in answers if shares is not None]
    shares = np.concatenate(answered) if len(answered) == len(answers) else None
    if shares is None:
        by = "diversity"
        log.warning("no two labels teach, and nothing says what they are called (heads.%s.names), so that no answer is "
                    "unsure yet: rows are chosen by diversity", look.task.name)  # fmt: skip
    view = View(features=np.concatenate(features), labels=np.full(len(rows), UNLABELLED), probabilities=shares)
    found = Suggest(n=n, by=by, seed=recipe.seed).measure(view)
    chosen, corpus = rows[found["rows"]], look.corpus
    return pd.DataFrame({
        "id": corpus.ids[chosen].astype(str), "domain": corpus.domains[chosen].astype(str),
        "text": corpus.texts[chosen].astype(str),
        **({} if corpus.pairs is None else {"text_pair": corpus.pairs[chosen].astype(str)}),
        "answer": [None] * len(chosen) if shares is None
        else [look.task.labels[place] for place in shares[found["rows"]].argmax(axis=1)],
        "margin": np.asarray(found["margins"], dtype=np.float64),
    })  # fmt: skip


def _free(look: Look, turn: Turn) -> Ints:
    """The targets' rows of ``turn`` that are to be had, the first of each group of near copies, and none whose copy
    teaches already."""
    domains = look.corpus.domains
    rows = turn.unlabelled[np.isin(domains[turn.unlabelled], turn.targets)]
    rows = rows[~np.isin(rows, np.concatenate([turn.teach, turn.score]))]
    if not len(rows):
        return rows
    together = np.concatenate([look.corpus.labelled(look.task.name, turn.teach), rows])
    groups = look.signatures.groups(together, near=look.recipe.transfer.near)
    first = np.unique(groups, return_index=True)[1]
    return np.sort(together[first[first >= len(together) - len(rows)]])


def _answers(look: Look, turn: Turn, rows: Ints) -> tuple[Floats, Floats | None]:
    """(rows, width) vectors, and (rows, labels) probabilities: of the head that the turn's labelled rows teach, else of
    what the labels are called, else None."""
    reading, corpus, name = READING[look.recipe.encoder.pool], look.corpus, look.task.name
    taught = corpus.labelled(name, turn.teach)
    labels = corpus.encoded[name][taught]
    if len(np.unique(labels)) < 2:
        asked = look.vectors(rows, reading).of(rows, reading)
        return asked, _by_names(look, asked, reading)
    vectors = look.vectors(np.concatenate([taught, rows]), reading)
    parts = folds(
        labels=labels, domains=corpus.domains[taught], target_labels=turn.labels_of_target, seed=look.recipe.seed,
        groups=look.signatures.groups(taught, near=look.recipe.transfer.near),
    )  # fmt: skip
    solved = solve_head(look.task, {reading: vectors.of(taught, reading)}, labels, parts)
    asked = vectors.of(rows, reading)
    return asked, look.task.probabilities(solved.logits(asked))


def _by_names(look: Look, asked: Floats, reading: str) -> Floats | None:
    """(rows, labels) zero-shot probabilities, calibrated on rows ``asked``; None where labels are called nothing."""
    names = names_by_reading(look.backbone, look.task, [reading]).get(reading)
    if names is None:
        return None
    log.warning("no two labels teach task %s: rows are chosen by what its labels are called", look.task.name)
    return softmax(zero_shot(directions(label_vectors(names)), asked).scores(asked))
