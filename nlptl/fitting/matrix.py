"""The source × target matrix: what a head solved on one source alone is worth on each target."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nlptl.contracts import Ints
from nlptl.evaluate._scores import correct
from nlptl.fitting.answers import inputs
from nlptl.fitting.setting import Setting
from nlptl.fitting.turn import solve_turn
from nlptl.transfer.plan import Turn


def matrix_rows(setting: Setting, planned: list[tuple[int, Turn, Ints]]) -> dict[str, dict[str, float | None]]:
    """Accuracy on the first task, source → target → mean over seeds; None where the source cannot teach alone.

    Of each turn's rows that may teach, those of one source; the scored rows are those of the turn.
    """
    cells: dict[str, dict[str, list[float]]] = {}
    task = next(iter(setting.corpus.tasks))
    setting = unweighed(with_task(setting, task))
    for seed, turn, groups in planned:
        domains = setting.corpus.domains
        for source in sorted(set(domains[turn.teach])):
            here = domains[turn.teach] == source
            alone = replace(turn, teach=turn.teach[here], sources=(source,), labels_of_target=0)
            if not can_teach(setting, task, alone, groups[here]):
                continue
            model = solve_turn(setting, alone, groups[here], seed=seed).model
            for target in turn.targets:
                rows = setting.corpus.labelled(task, setting.corpus.of_domain(turn.score, target))
                if not len(rows):
                    continue
                shares = model.probabilities(**inputs(setting, model, rows))[task]
                share = float(np.mean(correct(shares, setting.corpus.encoded[task][rows])))
                cells.setdefault(source, {}).setdefault(target, []).append(share)
    return _means(cells)


def with_task(setting: Setting, task: str) -> Setting:
    """The setting with one task."""
    return replace(setting, corpus=replace(setting.corpus, tasks={task: setting.corpus.tasks[task]}))


def unweighed(setting: Setting) -> Setting:
    """The setting in which no source is weighed: there is one, or none."""
    equal = setting.recipe.transfer.model_copy(update={"weigh": "equal"})
    return replace(setting, recipe=setting.recipe.model_copy(update={"transfer": equal}))


def can_teach(setting: Setting, task: str, turn: Turn, groups: Ints) -> bool:
    """Whether each label is there often enough for folds, in rows that are not all copies of one another."""
    if len(np.unique(groups)) < 2:
        return False
    labels: Any = setting.corpus.encoded[task][setting.corpus.labelled(task, turn.teach)]
    if labels.ndim == 2:
        return bool(len(labels) > 1)
    counts = np.unique(labels, return_counts=True)[1]
    return len(counts) > 1 and int(counts.min()) > 1


def _means(cells: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float | None]]:
    targets = sorted({target for row in cells.values() for target in row})
    return {
        source: {target: float(np.mean(row[target])) if target in row else None for target in targets}
        for source, row in sorted(cells.items())
    }
