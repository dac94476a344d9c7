"""From cheap to dear: what is trained is kept where the validation rows lose less, by more than a standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints, Task
from nlptl.contracts.augment import Cutting
from nlptl.errors import RecipeError
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.setting import Setting, SolvedTurn
from nlptl.fitting.train import Taught, trains
from nlptl.recipe import Recipe
from nlptl.registry import find
from nlptl.saved import Model
from nlptl.train.gather import of_first
from nlptl.transfer.plan import Turn
from nlptl.tune.auto import Auto
from nlptl.tune.frozen import Frozen

Train: TypeAlias = Callable[[Setting, Turn, Ints, SolvedTurn], Taught]
Losses: TypeAlias = npt.NDArray[np.float64]


def climb(
    setting: Setting, turn: Turn, held_back: Ints, solved: SolvedTurn, train: Train
) -> tuple[Setting, Taught, list[dict[str, Any]]]:
    """The setting and the training of the last rung that won, and a row for each rung tried.

    Raises:
        RecipeError: there is no validation row to choose by.
    """
    rungs = list(_rungs(setting.recipe))
    if len(rungs) > 1 and not len(held_back):
        raise RecipeError(
            f"turn {turn.name!r} has no validation row to choose rungs by; set train.validation, such as 0.1."
        )
    tried: list[dict[str, Any]] = []
    texts = texts_judged(setting.corpus, held_back)
    best: tuple[Setting, Taught, Losses] | None = None
    for name, recipe in rungs:
        here = replace(setting, recipe=recipe)
        named = turn if len(rungs) == 1 else replace(turn, name=f"{turn.name} {name}")
        taught = train(here, named, held_back, solved) if trains(recipe) else Taught(solved.model)
        losses = validation_losses(setting, held_back, taught.model) if len(rungs) > 1 else np.zeros(1)
        won = best is None or of_first(wins(once_a_text(losses, texts), once_a_text(best[2], texts)))
        tried.append({"rung": name, "validation loss": float(losses.mean()), "won": won})
        if not won:
            break
        best = (here, taught, losses)
    assert best is not None
    return best[0], best[1], tried if len(rungs) > 1 else []


def _rungs(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Names and recipes from cheap to dear; one where nothing is to be chosen."""
    if not isinstance(recipe.tune, Auto):
        yield recipe.tune.kind, recipe
        return
    yield Frozen().kind, _over_frozen(recipe)
    for kind in recipe.tune.rungs:
        yield kind, recipe.model_copy(update={"tune": find("tune", kind)()})


def _over_frozen(recipe: Recipe) -> Recipe:
    """``recipe`` for a body that stays frozen, without what only one that learns can take: terms that move the vectors
    which a linear head reads, and views of texts that are run anew."""
    fixed = any(head.kind == "linear" for head in recipe.heads.values())
    adapt = tuple(way for way in recipe.adapt if not (fixed and getattr(way, "moves", None) == "features"))
    augment = tuple(way for way in recipe.augment if not isinstance(way, Cutting))
    return recipe.model_copy(update={"tune": Frozen(), "adapt": adapt, "augment": augment})


def validation_losses(setting: Setting, rows: Ints, model: Model) -> Losses:
    """The loss of each labelled row, in nats, one task after another."""
    corpus = setting.corpus
    answers = model.probabilities(*corpus.texts_of(rows))
    of_tasks = [losses_of_rows(task, answers[name], corpus.encoded[name][rows]) for name, task in corpus.tasks.items()]
    return np.concatenate(of_tasks)


def texts_judged(corpus: Corpus, rows: Ints) -> Ints:
    """For each loss of ``validation_losses`` the number of its text, the same for copies."""
    return corpus.texts_among(np.concatenate([corpus.labelled(name, rows) for name in corpus.tasks]))


def once_a_text(losses: Losses, texts: Ints) -> Losses:
    """(rows,) losses → (distinct texts,) the mean over copies, which are no evidence of their own.

    Args:
        texts: (rows,) numbers, the same for copies.
    """
    _, which = np.unique(texts, return_inverse=True)
    return np.asarray(np.bincount(which, weights=losses) / np.bincount(which))


def losses_of_rows(task: Task, answers: Floats, encoded: npt.NDArray[Any]) -> Losses:
    """(rows, labels) probabilities → the loss of each labelled row, in nats."""
    labelled = task.labelled(encoded)
    shares, labels = np.clip(answers[labelled], 1e-12, 1 - 1e-12), encoded[labelled]
    if task.head.multilabel:
        return np.asarray(-np.where(labels == 1, np.log(shares), np.log(1 - shares)).sum(axis=1))
    return np.asarray(-np.log(shares[np.arange(len(labels)), labels]))


ROUNDING = 1e-5
"""Nats a row that are no gain: sums in another order move answers by less."""


def wins(dear: Losses, cheap: Losses) -> bool:
    """Whether the mean loss that ``dear`` saves on the same texts, none of them a copy of another (``once_a_text``), is
    above its standard error, and above rounding.

    By this rule a rung that is no better wins about one time in six, and somewhat more often where these texts chose
    its epoch too: it takes the side of the rung that looks better, and proves nothing.
    """
    saved = cheap - dear
    if len(saved) < 2:
        return False
    return bool(saved.mean() > max(ROUNDING, saved.std(ddof=1) / np.sqrt(len(saved))))
