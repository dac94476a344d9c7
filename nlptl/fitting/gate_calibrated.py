"""Calibration where each target has a rung of its own: on rows that neither taught it nor chose it."""

from __future__ import annotations

from dataclasses import replace

from nlptl.evaluate.calibrate import calibrate
from nlptl.evaluate.predictions import MODEL, Scored
from nlptl.fitting.answers import logits_of
from nlptl.fitting.calibration import calibrated, decisions, tell_lack
from nlptl.fitting.setting import Setting
from nlptl.fitting.turn import Outcome
from nlptl.saved import Model
from nlptl.transfer.plan import Turn


def calibrated_targets(setting: Setting, turn: Turn, outcome: Outcome) -> Outcome:
    """``outcome`` with each target's model calibrated on the target's own official validation rows, the model's answers
    to the scored rows after that, and what it came to; as it is where no head asks for it.

    Every other labelled row may teach some rung or be evidence for one. The model that all other domains share was
    chosen by nothing, and keeps what its folds told.
    """
    corpus = setting.corpus
    if not any(getattr(task.head, "calibrate", None) for task in corpus.tasks.values()):
        return outcome
    models = {target: _calibrated(setting, turn, target, model) for target, model in outcome.models.items()}
    scored = tuple(_answered(setting, turn, models, part) for part in outcome.scored)
    decided = tuple(
        row
        for target, model in models.items()
        for row in decisions(corpus, model.calibrations, tuple(part.of_domain(target) for part in scored))
    )
    chosen = outcome.chosen
    if outcome.shared is None:  # nobody is served by what the folds told of the calibration
        told = {key for facts in calibrated(next(iter(models.values())).calibrations).values() for key in facts}
        chosen = tuple({key: value for key, value in row.items() if key not in told} for row in chosen)
    return replace(outcome, models=models, scored=scored, decisions=decided, chosen=chosen)


def _calibrated(setting: Setting, turn: Turn, target: str, model: Model) -> Model:
    corpus, fitted = setting.corpus, {}
    own = setting.corpus.of_domain(turn.validate, target)
    logits = logits_of(setting, model, own)
    for name, task in corpus.tasks.items():
        asked = getattr(task.head, "calibrate", None)
        if asked is None:
            continue
        held = task.labelled(corpus.encoded[name][own])
        whose = [target] * int(held.sum())
        found = calibrate(asked, task, logits[name][held], corpus.encoded[name][own[held]], whose, apart=False)
        where = f"{len(whose)} official validation rows of {target}, which neither taught nor chose"
        fitted[name] = replace(found, fitted_on=where)
        tell_lack(f"{name} of {target}", found)
    return Model(model.network, model.words, model.columns, model.shelf, calibrations=fitted)


def _answered(setting: Setting, turn: Turn, models: dict[str, Model], part: Scored) -> Scored:
    """``part`` with the answers of each target's calibrated model as those of the model."""
    answers, task = part.probabilities[MODEL].copy(), setting.corpus.tasks[part.task]
    labelled = setting.corpus.labelled(part.task, turn.score)
    for target, model in models.items():
        rows = setting.corpus.of_domain(labelled, target)
        if part.task in model.calibrations:
            scaled = model.calibrations[part.task].scaled(
                logits_of(setting, model, rows)[part.task], [target] * len(rows)
            )
            answers[part.domains == target] = task.probabilities(scaled)
    return replace(part, probabilities={**part.probabilities, MODEL: answers})
