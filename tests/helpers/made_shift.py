"""Made domains as vectors whose shifts are known, for tests and ``benchmarks/shift_warnings.py``.

A text has one of nine topics. In six of them its label follows from where it stands along a direction that all topics
share and along one of the topic's own, with noise. Three topics are grey: there the label is each reader's own wish
(newsletters: spam to some), and one of them is a matter on which the sources' rows do not agree.

- covariate: other topics are common, p(label | text) stays. What is common in the target is rare in the sources.
- label: p(label) moves, p(text | label) stays.
- concept, one of three ways, texts staying as they are:
  - turned: wishes in grey topics are the other way round;
  - own mind: the target is sure where the sources do not agree;
  - rotated: labels follow another direction of the texts.

``made`` draws how large each shift is until it costs the sources' head 3 to 10 points of accuracy by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

WIDTH, TOPICS, GREY = 32, 6, 3
SHIFTS = ("covariate", "label", "concept")
WAYS = ("turned", "own mind", "rotated")
COMMON = np.array([0.36, 0.3, 0.2, 0.08, 0.04, 0.02])
COST = (0.03, 0.10)
FRESH = 3000
"""Texts on which a cost is measured, by their label's true probability."""


@dataclass(frozen=True)
class Texts:
    """Texts as vectors, and where they stand.

    Attributes:
        features: (rows, WIDTH).
        topic: (rows,).
        stand: (3, rows) places along the shared direction, the other one, and the topic's own.
        odds: factor of the odds of label 1, by another share of it.
    """

    features: np.ndarray
    topic: np.ndarray
    stand: np.ndarray
    odds: float


@dataclass(frozen=True)
class Domain:
    """What one domain's rows are drawn from."""

    means: np.ndarray
    shared: np.ndarray
    other: np.ndarray
    own: np.ndarray
    topics: np.ndarray
    wishes: np.ndarray
    wished: np.ndarray
    """``wishes``, and chances elsewhere, are what the sources hold; ``wished`` and ``turn`` what this domain holds."""
    turn: float = 0.0
    """Angle in radians from ``shared`` to ``other`` of the direction that this domain's label follows."""
    share: float | None = None
    """p(label) that texts are redrawn to, by the labels that the sources would give them; none: as it comes."""

    def draw(self, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(rows, WIDTH) vectors and (rows,) labels of 0 and 1."""
        texts = self.texts(rows, rng)
        return texts.features, (rng.random(rows) < self.chance(texts)).astype(np.int64)

    def texts(self, rows: int, rng: np.random.Generator) -> Texts:
        """Texts without labels; where labels have another share, more of those that the sources would call so."""
        drawn = rows if self.share is None else rows * 10
        topic = rng.choice(TOPICS + GREY, size=drawn, p=self.topics)
        stand, odds = rng.normal(size=(3, drawn)), 1.0
        if self.share is not None:
            held = _chance(topic, stand, 0.0, self.wishes)
            shown = rng.random(drawn) < held
            odds = self.share / (1 - self.share) / (held.mean() / (1 - held.mean()))
            ones = rng.binomial(rows, self.share)
            kept = np.r_[np.flatnonzero(shown)[:ones], np.flatnonzero(~shown)[: rows - ones]]
            rng.shuffle(kept)
            topic, stand = topic[kept], stand[:, kept]
        features = self.means[topic] + 0.7 * rng.normal(size=(len(topic), WIDTH))
        directions = (self.shared, self.other, self.own[topic])
        features += 2 * sum(place[:, None] * direction for place, direction in zip(stand, directions, strict=True))
        return Texts(features, topic, stand, odds)

    def chance(self, texts: Texts) -> np.ndarray:
        """(rows,) chances of label 1: log odds are those of this domain's concept, plus what another share of the label
        adds to all of them."""
        chance = _chance(texts.topic, texts.stand, self.turn, self.wished)
        return chance if texts.odds == 1 else texts.odds * chance / (texts.odds * chance + 1 - chance)


def _chance(topic: np.ndarray, stand: np.ndarray, turn: float, wishes: np.ndarray) -> np.ndarray:
    along, across, apart = stand
    followed = np.cos(turn) * along + np.sin(turn) * across
    chance = 1 / (1 + np.exp(-7 * (0.75 * followed + 0.65 * apart - 0.3)))
    grey = topic >= TOPICS
    chance[grey] = wishes[topic[grey] - TOPICS]
    return chance


def domains(shifts: tuple[str, ...], rng: np.random.Generator) -> tuple[Domain, Domain]:
    """(sources, target) that differ by ``shifts``, each of a size drawn at random."""
    source = _source(rng)
    target = source
    for shift in shifts:
        target = _shifted(target, shift, str(rng.choice(WAYS)), rng)
    return source, target


@dataclass(frozen=True)
class Pair:
    """Sources and a target, and what lies between them.

    Attributes:
        taught: the sources' (rows, WIDTH) vectors and (rows,) labels.
        head: of the sources, (vectors → answers of 0 and 1).
        reached: its accuracy on texts like the sources'.
        costs: of that, by shift, what each costs by itself.
        way: of concept shift, whether there is one or not.
    """

    source: Domain
    target: Domain
    taught: tuple[np.ndarray, np.ndarray]
    head: Callable[[np.ndarray], np.ndarray]
    reached: float
    costs: dict[str, float]
    way: str


def made(
    shifts: tuple[str, ...], rng: np.random.Generator, head_of: Callable[[np.ndarray, np.ndarray], Callable], rows: int
) -> Pair:
    """Domains of which each of ``shifts`` costs the sources' head as much as ``COST``.

    Sources for whom no such shift is found are drawn anew.

    Args:
        head_of: (vectors, labels) → (vectors → answers of 0 and 1).
        rows: of each of the three domains that the sources are.
    """
    while True:
        source, way = _source(rng), str(rng.choice(WAYS))
        taught = source.draw(3 * rows, rng)
        head = head_of(*taught)
        reached = accuracy(source, head, rng)
        found = {shift: _costing(source, shift, way, head, reached, rng) for shift in shifts}
        if all(found.values()):
            break
    target = source
    for shift, (alone, _) in found.items():
        target = replace(target, **{name: getattr(alone, name) for name in _FIELDS[shift]})
    return Pair(source, target, taught, head, reached, {shift: cost for shift, (_, cost) in found.items()}, way)


def _costing(
    source: Domain, shift: str, way: str, head: Callable, reached: float, rng: np.random.Generator
) -> tuple[Domain, float] | None:
    """``source`` with a shift within ``COST``, and what it costs; None where a hundred sizes have none."""
    for _ in range(100):
        tried = _shifted(source, shift, way, rng)
        cost = reached - accuracy(tried, head, rng)
        if COST[0] <= cost <= COST[1]:
            return tried, cost
    return None


_FIELDS = {"covariate": ("topics",), "label": ("share",), "concept": ("wished", "turn")}


def _source(rng: np.random.Generator) -> Domain:
    basis = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0].T
    grey = np.r_[rng.uniform(0.03, 0.09, size=2), rng.uniform(0.08, 0.2)]
    wishes = np.array([0.03, 0.97, rng.uniform(0.35, 0.65)])
    return Domain(
        means=rng.normal(size=(TOPICS + GREY, WIDTH)),
        shared=basis[0],
        other=basis[1],
        own=np.concatenate([basis[2 : 2 + TOPICS], np.zeros((GREY, WIDTH))]),
        topics=np.r_[COMMON * (1 - grey.sum()), grey],
        wishes=wishes,
        wished=wishes,
    )


def _shifted(domain: Domain, shift: str, way: str, rng: np.random.Generator) -> Domain:
    """``domain`` with one shift of a size drawn at random."""
    if shift == "covariate":
        size, ordinary = rng.uniform(0.3, 1.0), domain.topics[:TOPICS]
        mixed = (1 - size) * ordinary + size * rng.permutation(ordinary[::-1])
        return replace(domain, topics=np.r_[mixed, domain.topics[TOPICS:]])
    if shift == "label":
        return replace(domain, share=rng.uniform(0.65, 0.95))
    if way == "rotated":
        return replace(domain, turn=float(rng.choice([-1, 1]) * rng.uniform(0.2, 1.2)))
    wishes = domain.wishes.copy()
    if way == "turned":
        turned = rng.permutation([True, rng.random() < 0.5])
        wishes[:2] = np.where(turned, 1 - wishes[:2], wishes[:2])
    wishes[2] = rng.choice([0.03, 0.97])
    return replace(domain, wished=wishes)


def accuracy(domain: Domain, head: Callable, rng: np.random.Generator) -> float:
    """Share of texts that ``head`` answers rightly, in expectation over their labels."""
    texts = domain.texts(FRESH, rng)
    chance = domain.chance(texts)
    return float(np.where(head(texts.features) == 1, chance, 1 - chance).mean())
