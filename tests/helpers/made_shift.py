"""Two made domains as vectors, with shifts between them that are known: for tests and ``benchmarks/warnings.py``.

Texts have one of nine topics. In six, the label moves a text along a direction that all topics share and one that
is the topic's own. Three are grey: the text says nothing of the label, which is each domain's own wish (newsletters:
spam to some); of one of them the sources' rows do not agree.

- covariate: other topics are common, p(label | text) stays. What is common in the target is rare in the sources.
- label: p(label) moves from about .4 to about .8, p(text | label) stays.
- concept: the target turns two grey topics' labels round, and has one wish on the third.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

WIDTH, TOPICS, GREY = 32, 6, 3
SHIFTS = ("covariate", "label", "concept")
COMMON = np.array([0.36, 0.3, 0.2, 0.08, 0.04, 0.02])


@dataclass(frozen=True)
class Domain:
    """What one domain's rows are drawn from."""

    means: np.ndarray
    shared: np.ndarray
    own: np.ndarray
    topics: np.ndarray
    wishes: tuple[float, ...]
    positive: float = 0.35
    reweighted: float | None = None
    """p(label) that rows are redrawn to; none: as it comes."""

    def draw(self, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(rows, WIDTH) vectors and (rows,) labels of 0 and 1."""
        if self.reweighted is None:
            return self._draw(rows, rng)
        features, labels = self._draw(rows * 8, rng)
        ones = rng.binomial(rows, self.reweighted)
        chosen = np.r_[np.flatnonzero(labels == 1)[:ones], np.flatnonzero(labels == 0)[: rows - ones]]
        rng.shuffle(chosen)
        return features[chosen], labels[chosen]

    def _draw(self, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        topic = rng.choice(TOPICS + GREY, size=rows, p=self.topics)
        wished = np.r_[np.full(TOPICS, self.positive), self.wishes][topic]
        labels = (rng.random(rows) < wished).astype(np.int64)
        moved = (2 * labels - 1)[:, None] * (1.5 * self.shared + 1.3 * self.own[topic])
        moved[topic >= TOPICS] = 0
        return self.means[topic] + moved + 0.7 * rng.normal(size=(rows, WIDTH)), labels


def domains(shifts: tuple[str, ...], rng: np.random.Generator) -> tuple[Domain, Domain]:
    """(sources, target) that differ by ``shifts``."""
    own = rng.normal(size=(TOPICS + GREY, WIDTH))
    shared = rng.normal(size=WIDTH)
    grey = rng.uniform(0.03, 0.05, size=GREY)
    wishes = (0.02, 0.98, 0.5)
    sources = Domain(
        means=rng.normal(size=(TOPICS + GREY, WIDTH)),
        shared=shared / np.linalg.norm(shared),
        own=own / np.linalg.norm(own, axis=1, keepdims=True),
        topics=np.r_[COMMON * (1 - grey.sum()), grey],
        wishes=wishes,
    )
    target = sources
    if "covariate" in shifts:
        target = replace(target, topics=np.r_[COMMON[::-1] * (1 - grey.sum()), grey])
    if "label" in shifts:
        target = replace(target, reweighted=0.8)
    if "concept" in shifts:
        target = replace(target, wishes=(0.98, 0.02, float(rng.choice([0.02, 0.98]))))
    return sources, target
