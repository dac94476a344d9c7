"""Calibration of a turn's heads on their teaching rows, and what its decisions came to on the scored ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Floats
from nlptl.evaluate._scores import has
from nlptl.evaluate.calibrate import Calibration, calibrate
from nlptl.evaluate.predictions import MODEL, Scored
from nlptl.fitting.corpus import Corpus

if TYPE_CHECKING:
    from nlptl.fitting.setting import Setting, SolvedTurn
    from nlptl.transfer.plan import Turn

log = logging.getLogger("nlptl")


def calibrations(
    setting: Setting, turn: Turn, solved: SolvedTurn, out_of_fold: Mapping[str, Floats]
) -> dict[str, Calibration]:
    """By task that asks for one.

    Args:
        out_of_fold: by task with per-domain heads, the (rows, outputs) logits of its teaching rows; for the others
            those of the shared head are taken.
    """
    corpus, fitted = setting.corpus, {}
    for name, task in corpus.tasks.items():
        settings = getattr(task.head, "calibrate", None)
        if settings is not None:
            rows = corpus.labelled(name, turn.teach)
            logits = out_of_fold.get(name, solved.heads[name].out_of_fold)
            held = np.flatnonzero((logits != 0).any(axis=1))  # 0 where no fold held a row out
            domains = [str(domain) for domain in corpus.domains[rows[held]]]
            fitted[name] = calibrate(settings, task, logits[held], corpus.encoded[name][rows[held]], domains)
            if fitted[name].reason is not None:
                log.warning("task %s has no threshold, and answers the likeliest label: %s", name, fitted[name].reason)
    return fitted


def with_calibrations(
    facts: Mapping[str, Mapping[str, Any]], fitted: Mapping[str, Calibration]
) -> dict[str, dict[str, Any]]:
    """By task, ``facts`` of what its folds chose and those of its calibration."""
    told = {
        name: {"temperature": one.temperature, "threshold": one.threshold, "no threshold": one.reason}
        for name, one in fitted.items()
    }
    return {name: {**facts.get(name, {}), **told.get(name, {})} for name in {**facts, **told}}


def decisions(corpus: Corpus, fitted: Mapping[str, Calibration], scored: tuple[Scored, ...]) -> list[dict[str, Any]]:
    """What was decided on the scored rows, one mapping a task and domain: its temperature and threshold, the share
    ``lost`` of rows with other labels that were answered with the positive one, the share ``caught`` of those that have
    it, and the share ``abstained`` of all; None where no row could show it."""
    rows = []
    for part in scored:
        if part.task not in fitted:
            continue
        task, calibration = corpus.tasks[part.task], fitted[part.task]
        for domain in sorted({str(name) for name in part.domains}):
            here = part.of_domain(domain)
            told: dict[str, Any] = {
                "seed": part.seed, "turn": part.turn, "task": part.task, "domain": domain, "n": len(here.ids),
                "temperature": calibration.temperatures.get(domain, calibration.temperature),
                "threshold": calibration.thresholds.get(domain, calibration.threshold),
            }  # fmt: skip
            if not task.head.multilabel:
                given = calibration.decide(task, here.probabilities[MODEL], [domain] * len(here.ids))
                told["abstained"] = float(np.mean([answer is None for answer in given]))
                if task.positive is not None:
                    flagged, positive = np.array(given) == task.positive, has(here.labels, task.positive)
                    told |= {"lost": _share(flagged[~positive]), "caught": _share(flagged[positive])}
            rows.append(told)
    return rows


def _share(flagged: Any) -> float | None:
    return float(np.mean(flagged)) if len(flagged) else None
