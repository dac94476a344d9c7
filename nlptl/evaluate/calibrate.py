"""Honest probabilities and decisions for each domain, from logits that were made without the rows' labels.

**Temperature.** Logits are divided by T (Guo et al. 2017, arXiv 1706.04599). With s = log T, domains' temperatures are
drawn towards the one s₀ ~ N(0, 1) that suits all rows together, s_d ~ N(s₀, ν²); a domain’s is the posterior mean under
that prior, integrated numerically, and ν, 0 among them, is the one with the highest evidence (empirical Bayes) under a
half-normal prior of scale ``USUAL``, without which a few rows that are all right would ask for any spread. A domain
with few rows, or domains that agree, have the pooled one.

**Threshold.** At a stated loss α, the positive label is answered where its probability exceeds the k-th largest among
the m rows with other labels, k = ⌊α (m + 1)⌋: of new rows alike, a share of at most α is lost, in expectation (the
quantile of split conformal prediction: Vovk et al. 2005). A domain with fewer than 3/α such rows has the threshold of
all domains together; where those are too few as well there is none, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import logsumexp

from nlptl.contracts import Floats, Task
from nlptl.contracts.calibrate import Calibrate
from nlptl.evaluate._scores import has, rule_of_three
from nlptl.heads._solve import row_losses
from nlptl.heads._temperature import RANGE, fit_temperature

GRID = np.linspace(float(np.log(RANGE[0])), float(np.log(RANGE[1])), 241)
"""Log temperatures over which the posterior is integrated."""

SPREADS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Standard deviations ν of domains' log temperatures that are tried."""

USUAL = 0.5
"""Scale of the half-normal prior of ν: domains' temperatures usually lie within a factor of e^0.5 = 1.6."""


@dataclass(frozen=True)
class Calibration:
    """What was fitted for one task. ``temperature`` and ``threshold`` serve domains that have none of their own.

    Attributes:
        abstain: the least probability of an answer that is given.
        reason: why there is no threshold although one was asked for.
        fitted_on: how many rows it was fitted on, and what they were.
    """

    temperature: float = 1.0
    temperatures: Mapping[str, float] = field(default_factory=dict)
    threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    abstain: float | None = None
    reason: str | None = None
    fitted_on: str = ""

    def scaled(self, logits: Floats, domains: Sequence[str | None]) -> Floats:
        """(rows, outputs) logits, divided by the temperature of each row's domain."""
        return logits / _of(self.temperatures, self.temperature, domains)[:, None]

    def undone(self, task: Task, probabilities: Floats, domains: Sequence[str | None]) -> Floats:
        """(rows, labels) probabilities as they were before ``scaled``: p ∝ exp(z / T), so that p^T ∝ exp(z)."""
        powers = _of(self.temperatures, self.temperature, domains)[:, None]
        raw = probabilities**powers
        return raw / (raw + (1 - probabilities) ** powers if task.head.multilabel else raw.sum(axis=1, keepdims=True))

    def decide(self, task: Task, probabilities: Floats, domains: Sequence[str | None]) -> list[int | None]:
        """The answer to each row as a label's index, None where the model abstains, from calibrated probabilities of
        labels that exclude one another."""
        answers = probabilities.argmax(axis=1)
        if self.threshold is not None and task.positive is not None:
            others = np.where(np.arange(probabilities.shape[1]) == task.positive, -1.0, probabilities).argmax(axis=1)
            flagged = probabilities[:, task.positive] >= _of(self.thresholds, self.threshold, domains)
            answers = np.where(flagged, task.positive, others)
        sure = np.take_along_axis(probabilities, answers[:, None], axis=1)[:, 0] >= (self.abstain or 0.0)
        return [int(answer) if kept else None for answer, kept in zip(answers, sure, strict=True)]


def _of(own: Mapping[str, float], otherwise: float, domains: Sequence[str | None]) -> npt.NDArray[np.float64]:
    return np.array([otherwise if domain is None else own.get(domain, otherwise) for domain in domains], dtype=float)


def calibrate(
    settings: Calibrate, task: Task, logits: Floats, encoded: npt.NDArray[Any], domains: Sequence[str],
    *, apart: bool = True, weights: Floats | None = None, temperature: float | None = None,
    shared: Floats | None = None,
) -> Calibration:  # fmt: skip
    """The calibration of ``task`` that ``settings`` ask for.

    Args:
        apart: whether domains have temperatures of their own, which takes many rows; else all have the pooled one.
        logits: (rows, outputs), each row's by a head that had not seen its label.
        encoded: labels as ``Task.encode`` gives them; every row is labelled.
        domains: of each row.
        weights: (rows,) how much each counts for whom the model is for; all domains then have the pooled temperature.
        temperature: the one that all domains have, where it is settled.
        shared: (rows, outputs), where ``logits`` are by heads of single domains: those by the head that answers all
            other domains, whose temperature and threshold rest on them.
    """
    others = logits if shared is None else shared
    pooled, own = 1.0, dict[str, float]()
    if settings.temperature and temperature is not None:
        pooled = temperature
    elif settings.temperature:
        pooled = pooled_temperature(task, others, encoded, weights)
        own = fit_temperatures(task, logits, encoded, domains) if apart and weights is None else {}
    fitted = Calibration(pooled, own, abstain=settings.abstain)
    if settings.max_loss is None or task.positive is None:
        return fitted
    probabilities = task.probabilities(fitted.scaled(logits, domains))
    names = np.asarray(domains, dtype=str)
    together, reason = threshold_at_loss(task.positive, probabilities, encoded, settings.max_loss)
    each = {str(name): np.flatnonzero(names == name) for name in np.unique(names)}
    own_thresholds = {
        name: threshold_at_loss(task.positive, probabilities[rows], encoded[rows], settings.max_loss)[0]
        for name, rows in each.items()
    }
    kept = {name: threshold for name, threshold in own_thresholds.items() if threshold is not None}
    if shared is not None and together is not None:
        kept = dict.fromkeys(each, together) | kept
        probabilities = task.probabilities(shared / pooled)
        together, reason = threshold_at_loss(task.positive, probabilities, encoded, settings.max_loss)
    return Calibration(pooled, own, together, kept, settings.abstain, reason)


def pooled_temperature(task: Task, logits: Floats, encoded: npt.NDArray[Any], weights: Floats | None = None) -> float:
    """The temperature that suits all rows together, each counting as ``weights`` (rows,) say, or 1."""
    return fit_temperature(task, logits, encoded, prior=1.0, weights=weights)


def fit_temperatures(task: Task, logits: Floats, encoded: npt.NDArray[Any], domains: Sequence[str]) -> dict[str, float]:
    """Each domain's temperature, shrunk towards the one that suits all rows together."""
    names, of_row = np.unique(np.asarray(domains, dtype=str), return_inverse=True)
    pooled = pooled_temperature(task, logits, encoded)
    raw = torch.from_numpy(np.asarray(logits, dtype=np.float64))
    targets = torch.from_numpy(task.targets(encoded))
    losses = np.stack([
        np.bincount(of_row, row_losses(raw / np.exp(s), targets, task.link).numpy(), minlength=len(names)) for s in GRID
    ], axis=1)  # fmt: skip
    own = np.exp(shrink(losses, float(np.log(pooled))))
    return {str(name): float(temperature) for name, temperature in zip(names, own, strict=True)}


def shrink(losses: npt.NDArray[Any], centre: float) -> npt.NDArray[np.float64]:
    """(domains,) log temperatures: posterior means under N(``centre``, ν²), ν chosen by the evidence of all domains
    and its own prior.

    Args:
        losses: (domains, ``GRID``) summed log loss of each domain's rows, in nats.
    """
    priors = {spread: _log_prior(centre, spread) for spread in SPREADS[1:]}
    evidence = {spread: float(logsumexp(prior - losses, axis=1).sum()) for spread, prior in priors.items()}
    evidence[0.0] = -float(sum(np.interp(centre, GRID, each) for each in losses))
    # The first, and so the smaller, of equals.
    best = max(SPREADS, key=lambda spread: evidence[spread] - (spread / USUAL) ** 2 / 2)
    if best == 0:
        return np.full(len(losses), centre)
    posterior = priors[best] - losses
    return np.asarray(np.exp(posterior - logsumexp(posterior, axis=1, keepdims=True)) @ GRID)


def _log_prior(centre: float, spread: float) -> npt.NDArray[np.float64]:
    """Log masses of N(``centre``, ``spread``²) on the grid."""
    log = -((GRID - centre) ** 2) / (2 * spread**2)
    return np.asarray(log - logsumexp(log))


def threshold_at_loss(
    positive: int, probabilities: Floats, encoded: npt.NDArray[Any], max_loss: float
) -> tuple[float | None, str | None]:
    """The threshold of the positive label's probability at which at most ``max_loss`` of the others are flagged, or
    why these rows cannot show it."""
    if reason := rule_of_three(encoded, positive=positive, max_loss=max_loss):
        return None, reason
    return threshold_of_share(probabilities[~has(encoded, positive), positive], max_loss), None


def threshold_of_share(values: Floats, share: float) -> float:
    """The threshold that a new value, exchangeable with (rows,) ``values``, reaches with a chance of at most ``share``:
    just above the k-th largest, k = ⌊share (rows + 1)⌋ (split conformal prediction: Vovk et al. 2005).

    Args:
        values: of which ``share`` is at least one row, k ≥ 1.
    """
    allowed = int(np.floor(share * (len(values) + 1)))
    return float(np.nextafter(np.sort(values)[::-1][allowed - 1], np.inf))
