"""Logits of rows that taught nothing of what made them, which calibration and thresholds of strange texts rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nlptl.adapt.importance import Importance
from nlptl.contracts import Floats, Ints
from nlptl.fitting.adapt import Shift
from nlptl.fitting.answers import logits_of
from nlptl.fitting.select import has_epochs
from nlptl.fitting.train import learns
from nlptl.recipe import Recipe
from nlptl.recipe.rules_heads import asks_unseen_rows
from nlptl.saved import Model
from nlptl.train.select import CRITERIA
from nlptl.transfer.needs import nothing_held_back
from nlptl.tune.auto import Auto

if TYPE_CHECKING:
    from nlptl.fitting.setting import Setting, SolvedTurn
    from nlptl.transfer.plan import Turn


@dataclass(frozen=True, eq=False)
class Unseen:
    """Labelled rows of one task, and what is said of them without having seen them.

    Attributes:
        rows: of the corpus.
        logits: (rows, outputs), before calibration.
        where: what the rows are, and what they chose.
        weights: (rows,) how much each counts for the target, by ``adapt: importance``; None where all count the same.
        temperature: what the logits are to be divided by, where ``adapt: label_shift`` has settled that.
        shared: (rows, outputs) by the head of domains without one of their own, where ``logits`` are by domains' heads.
        by_folds: whether folds of the teaching rows made the logits; else the model that answers did.
    """

    rows: Ints
    logits: Floats
    where: str
    by_folds: bool
    weights: Floats | None = None
    temperature: float | None = None
    shared: Floats | None = None

    @property
    def told(self) -> str:
        """How many rows, and what they are."""
        return f"{len(self.rows)} rows {self.where}"


def unseen(
    setting: Setting, asked: Recipe, turn: Turn, held_back: Ints, solved: SolvedTurn, judged: Model,
    out_of_fold: Mapping[str, Floats], shifts: Mapping[str, Shift],
) -> dict[str, Unseen]:  # fmt: skip
    """By task whose head asks for it: of a solved head the rows that teach it, by folds, but for those that the run
    before knows (``fitting.earlier``); of what learned further the rows ``held_back`` from it, by ``judged``.

    Where all rows taught once more after that, the new model keeps what its twin was given: as solved heads do, whose
    logits out of fold are those of heads that fewer rows taught, and as ``CalibratedClassifierCV(ensemble=False)`` of
    scikit-learn does.

    Args:
        judged: what ``held_back`` did not teach, as it was before its logits were moved.
        asked: the recipe before any rung was chosen, for what the rows held back chose.
        out_of_fold: by task with per-domain heads, the (rows, outputs) logits of its teaching rows; for the others
            those of the shared head are taken.
        shifts: by task, how the model's logits were moved to the target's label shares, where they were.

    Raises:
        RecipeError: what learned has no labelled row that was held back.
    """
    corpus, found = setting.corpus, {}
    asks = {name: task for name, task in corpus.tasks.items() if asks_unseen_rows(task.head) is not None}
    trained = {name for name, task in asks.items() if learns(setting.recipe, task.head)}
    weighs = any(isinstance(way, Importance) for way in setting.recipe.adapt)
    answered = logits_of(setting, judged, held_back) if trained and len(held_back) else {}
    for name, task in asks.items():
        if name in trained:
            rows = held_back
            logits = answered.get(name, np.zeros((0, task.outputs)))
            kept, where = task.labelled(corpus.encoded[name][rows]), _held_back(asked, setting.recipe)
            where += "" if corpus.fresh(rows).all() else "; the run before knows them, or chose by them"
        else:
            rows, where = corpus.labelled(name, turn.teach), "out of fold"
            logits = out_of_fold.get(name, _by_folds(solved, name))
            # 0 where no fold held a row out; views of rows are no rows that anybody will ask about; and the encoder
            # knows by heart what taught it before.
            kept = (logits != 0).any(axis=1) & (rows < len(corpus.dataset)) & corpus.fresh(rows)
        if not kept.any():
            raise nothing_held_back(task, turn)
        weights = solved.weights[name][kept] if weighs and name not in trained else None
        shared = _by_folds(solved, name)[kept] if name in out_of_fold and name not in trained else None
        found[name] = Unseen(rows[kept], logits[kept], where, name not in trained, weights, shared=shared)
        if name in shifts:
            found[name] = _moved(found[name], shifts[name])
    return found


def _moved(rows: Unseen, shift: Shift) -> Unseen:
    """``rows`` with logits as the model that answers has them."""
    where = f"{rows.where}, moved to the target's label shares"
    return replace(rows, logits=rows.logits + shift.offsets, where=where, temperature=shift.temperature)


def _by_folds(solved: SolvedTurn, name: str) -> Floats:
    """(teaching rows, outputs) logits of a solved head out of fold."""
    if name in solved.heads:
        return solved.heads[name].out_of_fold
    logits = solved.closed[name].out_of_fold
    assert logits is not None, "only heads that tell them can ask"
    return logits


def _held_back(asked: Recipe, won: Recipe) -> str:
    """What the rows held back are, and whether they are wholly fresh; ``won`` has the rung that was kept."""
    by_loss = won.train.select not in CRITERIA and has_epochs(won)
    chose = [
        *(["the rung"] if isinstance(asked.tune, Auto) else []),
        *(["the epoch"] if by_loss else []),
        *(["the augmentation"] if asked.augment else []),
    ]
    held = "held back from the training before the refit" if won.train.refit else "held back"
    return f"{held}, which chose {' and '.join(chose)} too" if chose else held
