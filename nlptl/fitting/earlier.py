"""What taught the run that this one goes on from: such rows may teach again, and neither are scored nor judge.

The encoder, or the head that is taken, knows their labels by heart, so that logits of them are too good, out of fold or
not: a temperature fitted on them is too sharp, a threshold too low, and a rung looks better than it is. The precisions
of solved heads, how many layers learn and whether contrasts are kept are still chosen on folds of them all: what these
compare had the same encoder to begin with, and the choice promises nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlptl.contracts import Ints
from nlptl.errors import DataError
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.train import learns, trains
from nlptl.recipe import Recipe
from nlptl.recipe.rules_heads import asks_unseen_rows
from nlptl.saved.parts import model_folder
from nlptl.saved.taken import is_run
from nlptl.transfer.needs import validation_serves
from nlptl.transfer.plan import Turn
from nlptl.transfer.taught import Hashes, load_taught, scored_again

if TYPE_CHECKING:
    from nlptl.fitting.conclude import Planned

log = logging.getLogger("nlptl")


def with_earlier(recipe: Recipe, corpus: Corpus, planned: Planned) -> tuple[Corpus, Planned, Hashes | None, int]:
    """The corpus that knows which rows taught the run that this one goes on from, the plan in which these validate
    nothing, what taught that run, and how many scored rows are among it; all as it is where this run begins anew.

    With ``transfer.leaks: keep`` such rows are counted only.

    Raises:
        DataError: some of them are scored, or something of the recipe would rest on nothing but them.
        RecipeError: as ``validation_serves``.
    """
    model, keep = recipe.encoder.model, recipe.transfer.leaks == "keep"
    if not is_run(model):
        return corpus, planned, None, 0
    taught = load_taught(model_folder(Path(model)))
    scored = np.unique(np.concatenate([turn.score for _, turn, _ in planned]))
    again = scored_again(corpus.hashes(scored), taught, model=model, keep=keep)
    if taught is None:
        return corpus, planned, None, again
    rows = np.unique(np.concatenate([np.r_[turn.teach, turn.validate] for _, turn, _ in planned]))
    known = rows[np.isin(corpus.hashes(rows), taught)]
    if not len(known):
        return corpus, planned, taught, again
    how = "they judge all the same, and too well" if keep else "they teach, and judge nothing"
    told = f"{len(known)} of {len(rows)} rows that teach or validate are known to the run in {model}: {how}"
    log.log(logging.WARNING if keep else logging.INFO, "%s", told)
    if keep:
        return corpus, planned, taught, again
    corpus = replace(corpus, known=known)
    planned = [(seed, _validated_by_others(recipe, corpus, turn), groups) for seed, turn, groups in planned]
    for _, turn, _ in planned:
        _must_be_judged(recipe, corpus, turn)
    return corpus, planned, taught, again


def _validated_by_others(recipe: Recipe, corpus: Corpus, turn: Turn) -> Turn:
    """``turn`` without the official validation rows that the run before knows. Where it knows them all they stay, and
    that is told: of the same data they chose its epoch, and taught nothing."""
    fresh = corpus.fresh(turn.validate)
    if fresh.all():
        return turn
    if not fresh.any():
        log.warning(
            "turn %r: all %d official validation rows taught the run in %s or chose its epoch: what they choose or "
            "calibrate here may look better than it is",
            turn.name, len(fresh), recipe.encoder.model,
        )  # fmt: skip
        return turn
    less = replace(turn, validate=turn.validate[fresh])
    validation_serves(recipe, less, corpus.tasks, corpus.domains, partial(corpus.labelled, rows=less.validate))
    return less


def _must_be_judged(recipe: Recipe, corpus: Corpus, turn: Turn) -> None:
    """Whether there are rows that the run before does not know, for all that rests on some.

    Raises:
        DataError: there are none for something.
    """
    for place, rows in _rests(recipe, corpus, turn):
        if len(rows) and not corpus.fresh(rows).any():
            raise DataError(
                f"{place}: turn {turn.name!r}: all {len(rows)} rows that it would rest on taught the run that "
                f"encoder.model goes on from ({recipe.encoder.model}), which knows them by heart. Ask for it in that "
                "run, let that run be taught by fewer rows, or let such rows judge, with transfer.leaks: keep."
            )


def _rests(recipe: Recipe, corpus: Corpus, turn: Turn) -> Iterator[tuple[str, Ints]]:
    """What of the recipe rests on rows that teach, or would but for being held back: the place of each setting, and
    those rows."""
    for name, task in corpus.tasks.items():
        rows, asking = corpus.labelled(name, turn.teach), asks_unseen_rows(task.head)
        if recipe.transfer.choose is not None:
            yield "transfer.choose", rows
        elif asking is not None and not learns(recipe, task.head):
            yield f"heads.{name}.{asking}", rows
    if not trains(recipe):
        yield from [("augment", turn.teach)] if recipe.augment else []
    elif recipe.train.validation > 0 and not len(turn.validate):
        yield "train.validation", turn.teach
