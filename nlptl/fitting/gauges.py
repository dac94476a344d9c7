"""What lets a model tell strange texts, and what it flagged among the scored rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.diagnose.anomaly import Gaussians
from nlptl.evaluate.calibrate import threshold_of_share
from nlptl.fitting.answers import inputs
from nlptl.fitting.unseen import Unseen
from nlptl.saved import Model
from nlptl.saved.anomaly import Gauge

if TYPE_CHECKING:
    from nlptl.fitting.setting import Setting, SolvedTurn
    from nlptl.transfer.plan import Turn

log = logging.getLogger("nlptl")

FEWEST = 3
"""Rows beyond a threshold that is believed: where none of m rows is flagged the share may still be 3/m."""


def gauges(
    setting: Setting, turn: Turn, solved: SolvedTurn, model: Model, judged: Model, unseen: Mapping[str, Unseen]
) -> dict[str, Gauge]:
    """By task that asks for one, what scores strange texts by ``model``, its threshold a quantile over the rows
    ``unseen``, as ``judged`` has them, which they did not teach."""
    found = {}
    for name, task in setting.corpus.tasks.items():
        asked = getattr(task.head, "anomaly", None)
        if asked is None:
            continue
        rows, gauge = unseen[name], Gauge(asked.score, asked.share)
        values: Floats
        if asked.score == "energy":
            values = gauge.values(rows.logits, None)
        else:
            values, gaussians = _distances(setting, turn, name, solved, model, judged, rows)
            gauge = replace(gauge, gaussians=gaussians)
        found[name] = replace(_with_threshold(gauge, values), fitted_on=rows.told)
        if found[name].reason is not None:
            log.warning("task %s flags no text as strange: %s", name, found[name].reason)
    return found


def _with_threshold(gauge: Gauge, values: Floats) -> Gauge:
    if gauge.share * len(values) < FEWEST:
        needed = int(np.ceil(FEWEST / gauge.share))
        reason = f"a share of {gauge.share:g} takes at least {needed} rows to show; here are {len(values)}"
        return replace(gauge, reason=reason)
    return replace(gauge, threshold=threshold_of_share(values, gauge.share))


def _distances(
    setting: Setting, turn: Turn, name: str, solved: SolvedTurn, model: Model, judged: Model, unseen: Unseen
) -> tuple[Floats, Gaussians]:
    """(unseen rows,) distances, each row's to means that it had no part in, and the means of all rows that teach."""
    corpus = setting.corpus
    taught = corpus.labelled(name, turn.teach)
    labels = corpus.encoded[name][taught]
    if not unseen.by_folds:
        # A refit has taught these rows since, and the views of them.
        before = ~np.isin(taught, np.concatenate([unseen.rows, corpus.views_of(unseen.rows)]))
        means = Gaussians.fit(_read(setting, judged, name, taught[before]), labels[before])
        distances = means.distances(_read(setting, judged, name, unseen.rows))
        return distances, means if judged is model else Gaussians.fit(_read(setting, model, name, taught), labels)
    vectors = setting.vectors.of(taught, model.network.task_heads[name].reading)
    distances = np.zeros(len(taught))
    for teach, held in solved.folds[name]:
        distances[held] = Gaussians.fit(vectors[teach], labels[teach]).distances(vectors[held])
    return distances[np.isin(taught, unseen.rows)], Gaussians.fit(vectors, labels)


def _read(setting: Setting, model: Model, name: str, rows: Ints) -> Floats:
    """(rows, width) vectors that the task's head reads of the model's own body."""
    given = inputs(setting, model, rows)
    return model.shared_logits(given["texts"], given["pairs"], readings=given["readings"])[0][name]


def gauged(gauges: Mapping[str, Gauge]) -> dict[str, dict[str, Any]]:
    """By task, what tells strange texts, as facts for the record of the run."""
    return {
        name: {
            "anomaly score": gauge.score, "anomaly share": gauge.share, "anomaly threshold": gauge.threshold,
            "anomaly threshold fitted on": gauge.fitted_on, "no anomaly threshold": gauge.reason,
        }
        for name, gauge in gauges.items()
    }  # fmt: skip


def flagged(setting: Setting, turn: Turn, model: Model, seed: int) -> list[dict[str, Any]]:
    """For each task that tells strange texts and each domain that is scored: how many rows, and the share ``flagged``
    of them, None where there is no threshold."""
    given = inputs(setting, model, turn.score)
    domains, strange = given["domains"], model.strangeness(**given)
    told = []
    for name, values in strange.items():
        gauge = model.gauges[name]
        for domain in sorted(set(domains)):
            here = values[np.array(domains) == domain]
            share = None if gauge.threshold is None else float(np.mean(here >= gauge.threshold))
            told.append({
                "seed": seed, "turn": turn.name, "task": name, "domain": domain, "n": len(here),
                "score": gauge.score, "share": gauge.share, "threshold": gauge.threshold, "flagged": share,
                "fitted_on": gauge.fitted_on,
            })  # fmt: skip
    return told
