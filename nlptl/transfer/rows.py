"""From a recipe's data to who teaches whom, before anything is encoded: what runs, diagnoses and checks share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Head, Quarantine, Task
from nlptl.contracts.anomaly import COLUMNS
from nlptl.data._read import read
from nlptl.errors import DataError, RecipeError, nearest
from nlptl.transfer.needs import must_serve
from nlptl.transfer.plan import Turn, plan

if TYPE_CHECKING:
    from datasets import Dataset

    from nlptl.recipe import Recipe


log = logging.getLogger("nlptl")


def read_apart(recipe: Recipe, quarantine: Quarantine) -> tuple[Dataset, Dataset | None]:
    """The recipe's data: (rows that the run is for, anomalies to be scored). Rows of the anomalies' label teach nothing
    and are read by nothing; of an official split those of ``test`` are scored, else all.

    Raises:
        DataError: the data cannot be read, no row has the label, or none of ``test``.
    """
    if recipe.evaluate.anomalies is None:
        return read(recipe.data, recipe.heads, quarantine), None
    (task, head), label = next(iter(recipe.heads.items())), recipe.evaluate.anomalies.label
    if head.labels is not None:
        head = head.model_copy(update={"labels": (*head.labels, label)})
    dataset = read(recipe.data, {**recipe.heads, task: head}, quarantine)
    odd = np.array([value == label for value in dataset[:][task]], dtype=bool)
    splits = dataset[:]["split"] if "split" in dataset.column_names else [None] * len(odd)
    official = any(value == "test" for value in splits)
    scored = odd & np.array([not official or value == "test" for value in splits], dtype=bool)
    if not scored.any():
        raise DataError(
            f"evaluate.anomalies.label: {label!r} is the label of {int(odd.sum())} rows for task {task!r}, and of none "
            "that may be scored; name a label of the data, with rows in its test split where it has one."
        )
    return dataset.select(np.flatnonzero(~odd)), dataset.select(np.flatnonzero(scored))


def tasks_of(dataset: Dataset, heads: Mapping[str, Head], *, blind: bool = False) -> dict[str, Task]:
    """The tasks of ``heads`` with their labels: the recipe's, or those that the rows have.

    Args:
        blind: rows need not have labels; then a task's are those that are called something, or as few as there are, and
            the one to be caught, which need not be the label of any row yet.

    Raises:
        DataError: the rows have fewer than two labels, or not the one to be caught.
        RecipeError: ``names`` and labels do not agree, or ``anomaly`` cannot be told of the labels.
    """
    return {name: _task(name, head, dataset[:][name], blind) for name, head in heads.items()}


def _task(name: str, head: Head, values: Sequence[Any], blind: bool) -> Task:
    found = _found(head, values) if head.labels is None else head.labels
    if blind and head.positive is not None and head.positive not in found:
        log.warning(
            "heads.%s.positive: no row is labelled %r yet%s; what is labelled goes on without: %s", name, head.positive,
            nearest(head.positive, found), ", ".join(found) or "nothing",
        )  # fmt: skip
        found = tuple(sorted((*found, head.positive)))
    if len(found) < 2 and blind:
        return Task(name, head, tuple(getattr(head, "names", None) or found))
    if len(found) < 2:
        raise DataError(
            f"task {name!r} has {len(found)} label(s) in the data ({', '.join(found) or 'none'}); a classifier needs "
            f"two. Is heads.{name}.column right?"
        )
    task = Task(name, head, found)
    if head.positive is not None and head.positive not in task.labels:
        hint = nearest(head.positive, task.labels) or "."
        raise DataError(
            f"heads.{name}.positive: {head.positive!r} is the label of no row{hint} Labels of the data: "
            f"{', '.join(task.labels)}."
        )
    _check_anomaly(task)
    try:
        head.phrasings(task.labels)
    except RecipeError as error:
        raise RecipeError(f"heads.{name}.{error}") from None
    return task


def _check_anomaly(task: Task) -> None:
    """Whether what tells strange texts has labels to do so, and a column of its own in the answers.

    Raises:
        RecipeError: energy of two labels is asked for, or a label has the name of such a column.
    """
    asked = getattr(task.head, "anomaly", None)
    if asked is None:
        return
    if asked.score == "energy" and len(task.labels) == 2:
        raise RecipeError(
            f"heads.{task.name}.anomaly.score: energy of the two labels {' and '.join(task.labels)} is the confidence "
            "in the answer and no more; set mahalanobis, or to leave unsure texts unanswered calibrate.abstain."
        )
    if taken := sorted(set(COLUMNS) & set(task.labels)):
        raise RecipeError(
            f"heads.{task.name}.anomaly: the label {taken[0]!r} and the score would be one column of the answers; "
            "rename the label, or set anomaly: null."
        )


def _found(head: Head, values: Sequence[Any]) -> tuple[str, ...]:
    given = [value for value in values if value is not None]
    return tuple(sorted({label for value in given for label in value} if head.multilabel else set(given)))


def every_turn(recipe: Recipe, dataset: Dataset, tasks: Mapping[str, Task]) -> list[tuple[int, Turn]]:
    """Each turn of each of the recipe's seeds, which has what the recipe asks of it; leaks are still there.

    Raises:
        RecipeError, DataError: as ``plan`` and ``must_serve`` say.
    """
    sample, turns = recipe.first_source.sample, []
    for seed in range(recipe.seed, recipe.seed + recipe.evaluate.seeds):
        for turn in plan(dataset, recipe.transfer, tasks, sample=sample, seed=seed):
            must_serve(recipe, turn, dataset, tasks)
            turns.append((seed, turn))
    return turns
