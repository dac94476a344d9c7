"""Self-training of zero-shot answers: a student learns from the surest of them, and votes beside the names by how
stable it is. No label is read here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nlptl.contracts import Floats, Ints
from nlptl.heads._grid import INTERCEPT_PRECISION, SEARCH_TOLERANCE
from nlptl.heads._names import ANSWERED_SPREAD, Array, NameScores, refined, uncalibrated, unit
from nlptl.heads._scaling import Scaling
from nlptl.heads._solve import Design, Problems, solve

SUREST = 0.2
"""Share of the texts answered with each label, the surest of them, by which the student is taught."""

FEWEST = 5
"""Texts a label, where it has so many, whatever ``SUREST`` says."""

PRECISION = 0.1
"""1/τ² of the student's weights, on vectors of unit root-mean-square length."""

LEVEL = 0.02
"""Share of texts that two students answer differently at which the student's vote weighs as much as the names'."""

HEAVIEST = 10.0
"""Weight of a student whose two halves agree on everything."""


@dataclass(frozen=True)
class Voted:
    """What names and student answer together, the student's weight beside the names' 1, and how often two students
    that were each taught by half of the texts agree; weight 0 where no student could be taught."""

    scores: NameScores
    weight: float
    agreement: float


def zero_shot(names: Array, texts: Floats, *, rounds: int = 1, self_training: int = 3) -> Voted:
    """What labels are called, calibrated and refined on texts, with a student's vote; the names alone without texts.

    Args:
        names: (labels, width) directions.
        texts: (rows, width) raw vectors, without labels.
        rounds: of ``refined``; ``self_training``: of ``self_trained``, 0 for no student.
    """
    if len(texts) < 2:
        return Voted(uncalibrated(names), 0.0, 0.0)
    scores = refined(names, texts, rounds=rounds)
    return self_trained(texts, scores, rounds=self_training) if self_training else Voted(scores, 0.0, 0.0)


def surest(scores: Floats) -> tuple[Ints, Ints]:
    """(rows, labels) scores in nats → the rows that teach, ``SUREST`` of those that each label wins, and their labels.

    A row is the surer, the further its highest score is above the log of the others' sum.
    """
    answers = scores.argmax(axis=1)
    others = np.where(np.arange(scores.shape[1]) == answers[:, None], -np.inf, scores)
    margin = scores.max(axis=1) - np.logaddexp.reduce(others, axis=1)
    chosen = []
    for label in range(scores.shape[1]):
        rows = np.flatnonzero(answers == label)
        many = max(FEWEST, int(np.ceil(SUREST * len(rows))))
        chosen.append(rows[np.argsort(-margin[rows], kind="stable")][:many])
    places = np.concatenate(chosen)
    return places, answers[places]


def student(texts: Floats, teacher: NameScores, *, rounds: int) -> NameScores | None:
    """A linear head taught by the surest answers, then by its own surest, ``rounds`` times in all.

    Multinomial logistic regression with a Gaussian prior at zero, ``min_W Σ_i log-loss(x_i, ŷ_i; W) + ½ λ ‖W‖²``, over
    (rows, width) ``texts``. None where some label wins no text, so that nothing could be learned of it.
    """
    x = unit(texts)
    scaling = Scaling.of(x)
    design = scaling(x)
    found = None
    for _ in range(rounds):
        rows, labels = surest((found or teacher)(x))
        targets = np.eye(teacher.weights.shape[1])[labels]
        if not targets.any(axis=0).all():
            break
        precision = torch.full((1, design.shape[1] + 1), PRECISION, dtype=torch.float64)
        precision[:, -1] = INTERCEPT_PRECISION
        counts = torch.ones(1, len(rows), dtype=torch.float64)
        problems = Problems(
            Design(torch.from_numpy(design[rows])), torch.from_numpy(targets), counts, precision, "softmax"
        )
        solution = solve(problems, tolerance=SEARCH_TOLERANCE)[0].numpy()
        found = NameScores(*scaling.raw(solution[:-1], solution[-1]))
    return found


def self_trained(texts: Floats, names: NameScores, *, rounds: int) -> Voted:
    """The names' scores with a student's beside them, each divided by its deviation over the texts.

    ``z = (z_names / s_names + w z_student / s_student) / (1 + w)``, where ``w = LEVEL / (1 − a)`` and ``a`` is the
    share of the texts that two students answer alike, each taught by every other text. What texts separate by comes out
    the same from any half of them; what they do not separate by does not (as in the choice of clusterings by stability,
    Lange, Roth, Braun & Buhmann 2004), and then the names speak for themselves.

    Args:
        texts: (rows, width) raw vectors.
    """
    whole, *halves = (student(part, names, rounds=rounds) for part in (texts, texts[::2], texts[1::2]))
    if whole is None or halves[0] is None or halves[1] is None:
        return Voted(names, 0.0, 0.0)
    one, other = (half(texts).argmax(axis=1) for half in halves if half is not None)
    agreement = float((one == other).mean())
    weight = min(HEAVIEST, LEVEL / max(1 - agreement, 1e-12))
    first, second = (ANSWERED_SPREAD / (1 + weight) / _deviation(scores(texts)) for scores in (names, whole))
    voted = NameScores(
        names.weights * first + whole.weights * second * weight, names.bias * first + whole.bias * second * weight
    )
    return Voted(voted, weight, agreement)


def _deviation(scores: Array) -> float:
    """Of (rows, labels) scores, of which only differences between labels count."""
    return float((scores - scores.mean(axis=1, keepdims=True)).std()) or 1.0
