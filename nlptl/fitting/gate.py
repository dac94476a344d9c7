"""The selector: every target gets the rung that its evidence supports, once all turns have been run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from nlptl.contracts import Ints
from nlptl.evaluate.gate import Verdict, choose
from nlptl.evaluate.predictions import MODEL, Scored
from nlptl.fitting.evidence import Climbed, climb_turn
from nlptl.fitting.gate_lora import TRAINED, train_rehearsals, trained_rung
from nlptl.fitting.rungs import RUNGS
from nlptl.fitting.setting import Setting
from nlptl.fitting.turn import Outcome
from nlptl.heads._solved import LinearWeights
from nlptl.model import Network, TaskHead
from nlptl.progress import bar
from nlptl.saved import Model
from nlptl.saved.words import Words
from nlptl.transfer.plan import Turn

EVERY = (*RUNGS, *TRAINED)
"""All rungs, cheap to dear."""

Outcomes: TypeAlias = dict[tuple[int, str], Outcome]
Rungs: TypeAlias = Mapping[str, Mapping[str, Climbed]]
"""By task and target."""


def settle(
    setting: Setting, planned: Iterable[tuple[int, Turn, Ints]], outcomes: Outcomes
) -> tuple[Outcomes, list[dict[str, Any]]]:
    """The outcomes with what each target was given, and for each seed, task and target what was shipped and why.

    Verdicts of one seed and task are corrected over all the targets of its turns.

    Args:
        planned: each turn with its seed and the near-duplicate groups of its teaching rows.
    """
    climbed = {(seed, turn.name): _climb(setting, seed, turn, groups, outcomes) for seed, turn, groups in planned}
    settled, record = dict(outcomes), []
    for seed in sorted({seed for seed, _ in outcomes}):
        turns = {turn: rungs for (of, turn), rungs in climbed.items() if of == seed}
        verdicts = {task: _verdicts(turns.values(), task) for task in setting.corpus.tasks}
        for turn, rungs in turns.items():
            settled[seed, turn] = _settled(setting, outcomes[seed, turn], rungs, verdicts)
        record += [
            {"seed": seed, "task": task, "domain": target, **asdict(verdict)}
            for task, of_task in verdicts.items()
            for target, verdict in of_task.items()
        ]
    return settled, record


def _climb(setting: Setting, seed: int, turn: Turn, groups: Ints, outcomes: Outcomes) -> Rungs:
    outcome = outcomes[seed, turn.name]
    [model] = outcome.models.values()
    rung = trained_rung(setting.recipe)
    with bar(f"rehearse {turn.name}") as progress:
        climbed = {}
        for done, (task, like) in enumerate(outcome.solved.items(), start=1):
            trains = partial(train_rehearsals, setting, turn, task, seed)
            found = climb_turn(
                setting.corpus, setting.vectors, setting.recipe.transfer, turn, groups, task, like,
                None if model.words is None else model.words.lexical, seed=seed,
                trained=None if rung is None else (rung, trains),
            )  # fmt: skip
            climbed[task] = found if rung is None else _answered(found, rung, outcome.scored, task)
            progress(done, len(outcome.solved))
    return climbed


def _answered(climbed: Mapping[str, Climbed], rung: str, scored: Iterable[Scored], task: str) -> dict[str, Climbed]:
    """With the answers of the turn's trained model as those of ``rung``, for targets that have evidence of it."""
    [part] = [part for part in scored if part.task == task]
    return {
        target: replace(each, answers={**each.answers, rung: part.probabilities[MODEL][part.domains == target]})
        if rung in each.right
        else each
        for target, each in climbed.items()
    }


def _verdicts(turns: Iterable[Rungs], task: str) -> dict[str, Verdict]:
    """By target; a target has one turn."""
    return choose(EVERY, {target: each.right for rungs in turns for target, each in rungs[task].items()})


def _settled(
    setting: Setting, outcome: Outcome, climbed: Rungs, verdicts: Mapping[str, Mapping[str, Verdict]]
) -> Outcome:
    [turned] = outcome.models.values()
    models = {}
    for target in next(iter(climbed.values())):
        shipped = {task: verdicts[task][target].shipped for task in climbed}
        if set(shipped.values()) & set(TRAINED):  # of one task, as the rules see to
            models[target] = turned
        else:
            heads = {task: of[target].heads[shipped[task]] for task, of in climbed.items()}
            models[target] = _model(setting, turned, heads)
    scored = tuple(_rescored(part, climbed[part.task], verdicts[part.task]) for part in outcome.scored)
    return replace(outcome, models=models, scored=scored)


def _model(setting: Setting, turned: Model, heads: Mapping[str, LinearWeights]) -> Model:
    tasks = setting.corpus.tasks
    network = Network(setting.backbone, {task: TaskHead.solved(tasks[task], head) for task, head in heads.items()})
    words = {task: head.words for task, head in heads.items() if head.words is not None}
    return Model(network, None if turned.words is None else Words(turned.words.lexical, words), turned.columns)


def _rescored(part: Scored, climbed: Mapping[str, Climbed], verdicts: Mapping[str, Verdict]) -> Scored:
    """The scored rows with the shipped rung's answers as the model's, and those of every rung that all targets have."""
    everywhere = [name for name in EVERY if all(name in each.answers for each in climbed.values())]
    answers = {name: np.empty_like(part.probabilities[MODEL]) for name in (MODEL, *everywhere)}
    shipped = part.shipped.copy()
    for target, each in climbed.items():
        rows = part.domains == target
        shipped[rows] = verdicts[target].shipped
        for name, values in answers.items():
            values[rows] = each.answers[verdicts[target].shipped if name == MODEL else name]
    return replace(part, probabilities={**part.probabilities, **answers}, shipped=shipped)
