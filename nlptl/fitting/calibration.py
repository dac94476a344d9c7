"""Calibration of a turn's heads on rows that did not teach them, and what its decisions came to on the scored ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Floats, Ints, Task
from nlptl.evaluate._reliability import ece
from nlptl.evaluate._scores import has
from nlptl.evaluate.calibrate import Calibration, calibrate
from nlptl.evaluate.predictions import MODEL, Scored
from nlptl.fitting.answers import logits_of
from nlptl.fitting.bank import apart
from nlptl.fitting.climb import losses_of_rows
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.train import learns
from nlptl.recipe import Recipe
from nlptl.saved import Model
from nlptl.train.select import CRITERIA
from nlptl.transfer.needs import nothing_to_calibrate
from nlptl.tune.contrastive import Contrastive

if TYPE_CHECKING:
    from nlptl.fitting.setting import Setting, SolvedTurn
    from nlptl.transfer.plan import Turn

log = logging.getLogger("nlptl")


def calibrations(
    setting: Setting, turn: Turn, held_back: Ints, solved: SolvedTurn, judged: Model, out_of_fold: Mapping[str, Floats]
) -> dict[str, Calibration]:
    """By task that asks for one: of a solved head by its logits out of fold, of what learned further by those of
    ``judged`` for the rows ``held_back`` from it. These are few, so that one temperature serves all domains.

    Where all rows taught once more after that, the new model keeps what its twin was given: as solved heads do, whose
    logits out of fold are those of heads that fewer rows taught, and as ``CalibratedClassifierCV(ensemble=False)`` of
    scikit-learn does.

    Args:
        out_of_fold: by task with per-domain heads, the (rows, outputs) logits of its teaching rows; for the others
            those of the shared head are taken.

    Raises:
        RecipeError: what learned has no labelled row that was held back.
    """
    corpus, fitted = setting.corpus, {}
    asked = {name: task for name, task in corpus.tasks.items() if getattr(task.head, "calibrate", None) is not None}
    trained = {name for name, task in asked.items() if learns(setting.recipe, task.head)}
    answered = logits_of(setting, judged, held_back) if trained and len(held_back) else {}
    for name, task in asked.items():
        if name in trained:
            rows, logits = held_back, answered.get(name, np.zeros((0, task.outputs)))
            held = np.flatnonzero(task.labelled(corpus.encoded[name][rows]))
            where = _held_back(setting.recipe)
        else:
            rows, where = corpus.labelled(name, turn.teach), "out of fold"
            logits = out_of_fold.get(name, solved.heads[name].out_of_fold)
            held = np.flatnonzero((logits != 0).any(axis=1))  # 0 where no fold held a row out
        if not len(held):
            raise nothing_to_calibrate(name, turn)
        domains = [str(domain) for domain in corpus.domains[rows[held]]]
        found = calibrate(
            task.head.calibrate,  # type: ignore[attr-defined]
            task, logits[held], corpus.encoded[name][rows[held]], domains, apart=name not in trained,
        )  # fmt: skip
        fitted[name] = replace(found, fitted_on=f"{len(held)} rows {where}")
        if found.reason is not None:
            log.warning("task %s has no threshold, and answers the likeliest label: %s", name, found.reason)
    return fitted


def _held_back(recipe: Recipe) -> str:
    """What the rows held back are, and whether they are wholly fresh."""
    held = "held back from the training before the refit" if recipe.train.refit else "held back"
    if isinstance(recipe.tune, Contrastive):
        return f"{held}, which may have chosen the rung too"
    by_loss = recipe.train.select not in CRITERIA and not apart(recipe)
    return f"{held}, which chose the epoch too" if by_loss else held


def with_calibrations(
    facts: Mapping[str, Mapping[str, Any]], fitted: Mapping[str, Calibration]
) -> dict[str, dict[str, Any]]:
    """By task, ``facts`` of what its folds chose and those of its calibration."""
    told = {
        name: {
            "temperature": one.temperature, "calibrated on": one.fitted_on, "threshold": one.threshold,
            "no threshold": one.reason,
        }
        for name, one in fitted.items()
    }  # fmt: skip
    return {name: {**facts.get(name, {}), **told.get(name, {})} for name in {**facts, **told}}


def decisions(corpus: Corpus, fitted: Mapping[str, Calibration], scored: tuple[Scored, ...]) -> list[dict[str, Any]]:
    """What calibration came to on the scored rows, one mapping a task and domain: temperature and threshold, the
    ``ece`` and mean ``log_loss`` in nats of its probabilities and, as ``…_before``, of those without it, the share
    ``lost`` of rows with other labels that were answered with the positive one, the share ``caught`` of those that have
    it, and the share ``abstained`` of all; None where no row could show it, or where a probability was rounded to 1."""
    rows = []
    for part in scored:
        if part.task not in fitted:
            continue
        task, calibration = corpus.tasks[part.task], fitted[part.task]
        for domain in sorted({str(name) for name in part.domains}):
            here = part.of_domain(domain)
            shares, whose = here.probabilities[MODEL], [domain] * len(here.ids)
            before = None if (shares == 1).any() else calibration.undone(task, shares, whose)
            told: dict[str, Any] = {
                "seed": part.seed, "turn": part.turn, "task": part.task, "domain": domain, "n": len(here.ids),
                "temperature": calibration.temperatures.get(domain, calibration.temperature),
                "threshold": calibration.thresholds.get(domain, calibration.threshold),
                "ece": _ece(shares, here.labels), "ece_before": before if before is None else _ece(before, here.labels),
                "log_loss": _log_loss(task, shares, here.labels),
                "log_loss_before": before if before is None else _log_loss(task, before, here.labels),
            }  # fmt: skip
            if not task.head.multilabel:
                given = calibration.decide(task, shares, whose)
                told["abstained"] = float(np.mean([answer is None for answer in given]))
                if task.positive is not None:
                    flagged, positive = np.array(given) == task.positive, has(here.labels, task.positive)
                    told |= {"lost": _share(flagged[~positive]), "caught": _share(flagged[positive])}
            rows.append(told)
    return rows


def _ece(shares: Floats, labels: Any) -> float:
    return float(ece(shares, labels, np.ones((1, len(labels))))[0])


def _log_loss(task: Task, shares: Floats, labels: Any) -> float:
    return float(losses_of_rows(task, shares, labels).mean())


def _share(flagged: Any) -> float | None:
    return float(np.mean(flagged)) if len(flagged) else None
