"""Calibration of a turn's heads on rows that did not teach them, and what its decisions came to on the scored ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nlptl.contracts import Floats, Task
from nlptl.evaluate._reliability import ece
from nlptl.evaluate._scores import has
from nlptl.evaluate.calibrate import Calibration, calibrate
from nlptl.evaluate.predictions import MODEL, Scored
from nlptl.fitting.climb import losses_of_rows
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.unseen import Unseen

log = logging.getLogger("nlptl")


def calibrations(corpus: Corpus, unseen: Mapping[str, Unseen]) -> dict[str, Calibration]:
    """By task that asks for one, fitted on the rows ``unseen``; where these were held back from what learned they are
    few, so that one temperature serves all domains."""
    fitted = {}
    for name, task in corpus.tasks.items():
        asked = getattr(task.head, "calibrate", None)
        if asked is None:
            continue
        here = unseen[name]
        found = calibrate(
            asked, task, here.logits, corpus.encoded[name][here.rows],
            [str(domain) for domain in corpus.domains[here.rows]], apart=here.by_folds, weights=here.weights,
            temperature=here.temperature, shared=here.shared,
        )  # fmt: skip
        fitted[name] = replace(found, fitted_on=here.told)
        tell_lack(name, found)
    return fitted


def tell_lack(task: str, found: Calibration) -> None:
    """Warn where a threshold was asked for, and rows are too few to set it."""
    if found.reason is not None:
        log.warning("task %s has no threshold, and answers the likeliest label: %s", task, found.reason)


def calibrated(fitted: Mapping[str, Calibration]) -> dict[str, dict[str, Any]]:
    """By task, its calibration as facts for the record of the run."""
    return {
        name: {
            "temperature": one.temperature, "calibrated on": one.fitted_on, "threshold": one.threshold,
            "no threshold": one.reason,
        }
        for name, one in fitted.items()
    }  # fmt: skip


def with_facts(*of_tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By task, all that any of ``of_tasks`` says of it."""
    names = {name for facts in of_tasks for name in facts}
    return {name: {key: value for facts in of_tasks for key, value in facts.get(name, {}).items()} for name in names}


def decisions(corpus: Corpus, fitted: Mapping[str, Calibration], scored: tuple[Scored, ...]) -> list[dict[str, Any]]:
    """What calibration came to on the scored rows, one mapping a task and domain: the rows that it was fitted on,
    temperature and threshold, the ``ece`` and mean ``log_loss`` in nats of its probabilities and, as ``…_before``, of
    those without it, the share ``lost`` of rows with other labels that were answered with the positive one, the share
    ``caught`` of those that have it, and the share ``abstained`` of all; None where no row could show it, or where a
    probability was rounded to 1."""
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
                "calibrated_on": calibration.fitted_on,
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
