"""The selector: every target gets the rung that its evidence supports, once all turns have been run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeAlias

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.evaluate.gate import Verdict, choose
from nlptl.evaluate.predictions import MODEL, Scored
from nlptl.fitting.evidence import Climbed, climb_turn
from nlptl.fitting.gate_calibrated import calibrated_targets
from nlptl.fitting.gate_trained import rehearsing, train_turn, trained_rung
from nlptl.fitting.rungs import RUNGS
from nlptl.fitting.setting import Setting
from nlptl.fitting.turn import Outcome
from nlptl.heads._solved import LinearWeights
from nlptl.model import Network, TaskHead
from nlptl.progress import bar
from nlptl.saved import Model
from nlptl.saved.words import Words
from nlptl.train.gather import of_first
from nlptl.transfer.plan import Turn

Outcomes: TypeAlias = dict[tuple[int, str], Outcome]
Answered: TypeAlias = Callable[[int, Turn, Outcome], Outcome]
Rungs: TypeAlias = Mapping[str, Mapping[str, Climbed]]
"""By task and target."""
Verdicts: TypeAlias = Mapping[str, Mapping[str, Verdict]]
"""By task and target."""


def settle(
    setting: Setting, planned: Sequence[tuple[int, Turn, Ints]], outcomes: Outcomes, answered: Answered
) -> tuple[Outcomes, list[dict[str, Any]]]:
    """The outcomes with what each target was given, and for each seed, task and target what was shipped and why.

    Verdicts of one seed and task are corrected over all the targets of its turns. What is to be trained is trained in
    earnest only where a target is to get it.

    Args:
        planned: each turn with its seed and the near-duplicate groups of its teaching rows.
        outcomes: of the solved heads.
        answered: receives each outcome once it is settled, and returns what is to be kept of it.
    """
    climbed = {(seed, turn.name): _climb(setting, seed, turn, groups, outcomes) for seed, turn, groups in planned}
    verdicts = of_first({seed: _verdicts(setting, climbed, seed) for seed in sorted({seed for seed, _ in outcomes})})
    settled = {
        (seed, turn.name): answered(
            seed,
            turn,
            _settled(setting, seed, turn, groups, outcomes[seed, turn.name], climbed[seed, turn.name], verdicts[seed]),
        )
        for seed, turn, groups in planned
    }
    record = [
        {"seed": seed, "task": task, "domain": target, **asdict(verdict)}
        for seed, of_seed in verdicts.items()
        for task, of_task in of_seed.items()
        for target, verdict in of_task.items()
    ]
    return settled, record


def _every(setting: Setting) -> tuple[str, ...]:
    """All rungs, cheap to dear."""
    rung = trained_rung(setting.recipe)
    return RUNGS if rung is None else (*RUNGS, rung)


def _climb(setting: Setting, seed: int, turn: Turn, groups: Ints, outcomes: Outcomes) -> Rungs:
    outcome = outcomes[seed, turn.name]
    [model] = outcome.models.values()
    with bar(f"rehearse {turn.name}") as progress:
        climbed = {}
        for done, (task, like) in enumerate(outcome.solved.items(), start=1):
            climbed[task] = climb_turn(
                setting.corpus, setting.vectors, setting.recipe.transfer, turn, groups, task, like,
                None if model.words is None else model.words.lexical, seed=seed,
                trained=rehearsing(setting, turn, groups, task, seed),
            )  # fmt: skip
            progress(done, len(outcome.solved))
    return climbed


def _verdicts(setting: Setting, climbed: Mapping[tuple[int, str], Rungs], seed: int) -> Verdicts:
    """What each target gets in the turns of ``seed``; a target has one turn."""
    turns = [rungs for (of, _), rungs in climbed.items() if of == seed]
    return {
        task: choose(_every(setting), {target: each.evidence for turn in turns for target, each in turn[task].items()})
        for task in setting.corpus.tasks
    }


def _settled(
    setting: Setting, seed: int, turn: Turn, groups: Ints, outcome: Outcome, climbed: Rungs, verdicts: Verdicts
) -> Outcome:
    """The outcome with each target's own model and its answers, once what is to be trained is."""
    [turned] = outcome.models.values()
    rung = trained_rung(setting.recipe)
    shipped = {target: {task: verdicts[task][target].shipped for task in climbed} for target in turn.targets}
    trained: Model | None = None
    if any(rung in of_target.values() for of_target in shipped.values()):
        trained, found = train_turn(setting, turn, groups, seed)
        climbed = {task: _with(setting, turn, task, of, str(rung), found[task]) for task, of in climbed.items()}
    models = {}
    for target, of_target in shipped.items():
        if trained is not None and rung in of_target.values():  # of one task, as the rules see to
            models[target] = trained
        else:
            heads = {task: of[target].heads[of_target[task]] for task, of in climbed.items()}
            models[target] = _model(setting, turned, heads)
    scored = tuple(_rescored(part, climbed[part.task], verdicts[part.task], _every(setting)) for part in outcome.scored)
    shared = turned if setting.recipe.transfer.protocol == "joint" else None
    return calibrated_targets(setting, turn, replace(outcome, models=models, scored=scored, shared=shared))


def _with(
    setting: Setting, turn: Turn, task: str, climbed: Mapping[str, Climbed], rung: str, answers: Floats
) -> dict[str, Climbed]:
    """By target, with the answers of ``rung`` on its scored rows.

    Args:
        answers: (scored rows of ``turn``, labels) probabilities.
    """
    corpus = setting.corpus
    labelled = corpus.tasks[task].labelled(corpus.encoded[task][turn.score])
    here = {target: labelled & (corpus.domains[turn.score] == target) for target in climbed}
    return {
        target: replace(each, answers={**each.answers, rung: answers[here[target]]}) for target, each in climbed.items()
    }


def _model(setting: Setting, turned: Model, heads: Mapping[str, LinearWeights]) -> Model:
    tasks = setting.corpus.tasks
    network = Network(setting.backbone, {task: TaskHead.solved(tasks[task], head) for task, head in heads.items()})
    words = {task: head.words for task, head in heads.items() if head.words is not None}
    return Model(network, None if turned.words is None else Words(turned.words.lexical, words), turned.columns)


def _rescored(
    part: Scored, climbed: Mapping[str, Climbed], verdicts: Mapping[str, Verdict], every: Iterable[str]
) -> Scored:
    """The scored rows with the shipped rung's answers as the model's, and those of every rung that all targets have."""
    everywhere = [name for name in every if all(name in each.answers for each in climbed.values())]
    answers = {name: np.empty_like(part.probabilities[MODEL]) for name in (MODEL, *everywhere)}
    shipped = part.shipped.copy()
    for target, each in climbed.items():
        rows = part.domains == target
        shipped[rows] = verdicts[target].shipped
        for name, values in answers.items():
            values[rows] = each.answers[verdicts[target].shipped if name == MODEL else name]
    return replace(part, probabilities={**part.probabilities, **answers}, shipped=shipped)
