"""What is trained beside our model to be compared with it: each task alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nlptl.contracts import Ints
from nlptl.evaluate.compare import holm
from nlptl.fitting.train import learns

if TYPE_CHECKING:
    from nlptl.fitting.setting import Setting, SolvedTurn
    from nlptl.fitting.train import Taught
    from nlptl.saved import Model
    from nlptl.transfer.plan import Turn

    Trained: TypeAlias = Callable[[Setting, Turn, Ints, SolvedTurn], Taught]

SOLO = "solo"
"""The system that answers each task by a model of its own, trained as ours on the rows of that task alone."""


def solo_models(
    setting: Setting, turn: Turn, held_back: Ints, solved: SolvedTurn, trained: Trained
) -> dict[str, Model]:
    """By task: a model of that task alone, from the same start, by the same settings, as often over the same rows; a
    head that nothing teaches further is its task's alone as it was solved.

    Args:
        trained: trains what its setting, turn, rows held back and solved heads say.
    """
    models = {}
    for task in setting.corpus.tasks:
        if not learns(setting.recipe, setting.recipe.heads[task]):
            models[task] = solved.model
            continue
        alone = _only(setting, task)
        rows = replace(turn, name=f"{turn.name} {SOLO} {task}", teach=setting.corpus.labelled(task, turn.teach))
        weights = {name: of_task for name, of_task in solved.weights.items() if name == task}
        heads = replace(solved, folds={task: solved.folds[task]}, heads={task: solved.heads[task]}, weights=weights)
        models[task] = trained(alone, rows, setting.corpus.labelled(task, held_back), heads).model
    return models


def _only(setting: Setting, task: str) -> Setting:
    corpus, recipe = setting.corpus, setting.recipe
    one = replace(corpus, tasks={task: corpus.tasks[task]}, encoded={task: corpus.encoded[task]})
    return replace(setting, corpus=one, recipe=recipe.model_copy(update={"heads": {task: recipe.heads[task]}}))


def several_tasks(
    tasks: Mapping[str, Mapping[str, Any]], conflicts: Sequence[Sequence[Sequence[float]]]
) -> dict[str, Any] | None:
    """What ``results.json`` says of several tasks on one encoder; None for one task.

    ``solo``: by task, our gain in accuracy over its solo model, with p corrected over the tasks by Holm; empty where
    none was trained. ``conflicts``: the mean cosine between each two tasks' gradients; None where nothing is shared.

    Args:
        tasks: what ``summarise`` returns.
        conflicts: (measurements, tasks, tasks) cosines.
    """
    if len(tasks) < 2:
        return None
    gains = {name: task["gains"]["overall"][SOLO] for name, task in tasks.items() if SOLO in task["rungs"]}
    adjusted = holm([gain["p"] for gain in gains.values()]) if gains else []
    return {
        "solo": {
            name: {**gain, "solo": tasks[name]["rungs"][SOLO]["overall"].get("accuracy"), "p_holm": p,
                   "worse": gain["accuracy"] < 0 and gain["only_model"] < gain["only_baseline"] and p < 0.05}
            for (name, gain), p in zip(gains.items(), adjusted, strict=True)
        },
        "conflicts": {
            "tasks": list(tasks), "measured": len(conflicts), "cosines": np.mean(conflicts, axis=0).tolist(),
        } if len(conflicts) else None,
    }  # fmt: skip
