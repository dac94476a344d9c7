"""How much each source domain has to say to a target whose labels nobody has seen.

A source is judged by what its head, taught by it alone, answers on the target's unlabelled texts. Two heads that are
right with chances a_i and a_j, err independently and spread their errors evenly over L labels agree with chance

    c_ij  =  1/L + (1 − 1/L) r_i r_j,        r_i = (L a_i − 1) / (L − 1),

so that the agreements of all pairs tell every a_i without a label, but for the sign (Dawid & Skene 1979; the rank-one
matrix of Parisi, Strino, Nadler & Kluger 2014, "Ranking and combining multiple predictors without labeled data"). Heads
that share an encoder err together, which flatters all of them; it is their order and distance that count.

Weights are log odds, ``log(a (L − 1) / (1 − a))``: what an optimal vote gives to a voter who is right so often (Nitzan
& Paroush 1982).
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints

NEAREST = re.compile(r"nearest:([1-9]\d*)")


def trust(answers: Ints, *, labels: int, iterations: int = 200) -> npt.NDArray[np.float64]:
    """(sources,) estimated chance of each source to be right, least squares over all pairs; the sign is that by which
    most sources are right.

    Args:
        answers: (sources, rows) labels that the head of each source alone gives the target's texts; for a multilabel
            task (sources, rows, labels) of 0 and 1, with ``labels`` 2.
    """
    flat = answers.reshape(len(answers), -1)
    agreements = (flat[:, None] == flat[None]).mean(axis=2)
    excess = (labels * agreements - 1) / (labels - 1)
    values, vectors = np.linalg.eigh(excess)
    reliable = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))
    np.fill_diagonal(excess, 0)
    for _ in range(iterations):
        best = excess @ reliable / ((reliable**2).sum() - reliable**2).clip(min=1e-12)
        reliable = np.clip((reliable + best) / 2, -1, 1)
    reliable *= 1 if reliable.sum() >= 0 else -1
    return np.asarray((1 + (labels - 1) * reliable) / labels)


def similarity(trusted: Floats, *, labels: int, rows: int) -> npt.NDArray[np.float64]:
    """(sources,) weights of mean 1 from what ``trust`` gave on ``rows`` rows; 0 for a source no better than chance.

    A source counts half a row short of certain, so that no weight is infinite; where no source is better than chance,
    all weigh 1.
    """
    bounded = np.clip(trusted, 1e-12, 1 - 0.5 / rows)
    odds = np.log(bounded * (labels - 1) / (1 - bounded)).clip(min=0)
    return np.asarray(odds / odds.mean()) if odds.any() else np.ones(len(odds))


def nearest(trusted: Floats, names: tuple[str, ...], many: int) -> npt.NDArray[np.float64]:
    """(sources,) weights: 1 for the ``many`` most trusted sources, 0 for the others; ties in order of names."""
    order = sorted(range(len(names)), key=lambda place: (-trusted[place], names[place]))
    weights = np.zeros(len(names))
    weights[order[:many]] = 1
    return weights
