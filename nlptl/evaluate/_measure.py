"""Every system's scores on one domain: under each seed as they are, and on draws of seeds and rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nlptl.evaluate._scores import correct, mean_defined
from nlptl.evaluate.compare import Mcnemar, mcnemar
from nlptl.evaluate.intervals import FEW, bootstrap, collapsed, effective_rows, with_phantom
from nlptl.evaluate.predictions import MODEL, Scored

if TYPE_CHECKING:
    from nlptl.contracts import Floats
    from nlptl.evaluate.scorers import Scorer


@dataclass(frozen=True)
class Measured:
    """One domain, measured.

    ``parts`` are its rows under each seed that scored it and ``seeds`` those seeds' places among all; ``points`` is
    (all seeds, systems, scorers), ``samples`` (resamples, systems, scorers), NaN where undefined, for means over
    domains, and ``alone`` the same for the domain's own intervals; ``reasons`` says for a scorer's name why it is
    undefined under some seed; ``texts`` (scorers,) are the distinct texts that each scorer's intervals rest on.
    """

    parts: Sequence[Scored]
    seeds: tuple[int, ...]
    points: Floats
    samples: Floats
    alone: Floats
    reasons: dict[str, str]
    texts: tuple[int, ...]

    @property
    def means(self) -> Floats:
        """(systems, scorers): the points' means over the seeds that define them."""
        return mean_over(list(self.points))


def measure(
    parts: Sequence[Scored],
    *,
    systems: Sequence[str],
    scorers: Sequence[Scorer],
    seeds: Sequence[int],
    seed_draws: Floats,
    rng: np.random.Generator,
) -> Measured:
    """Score ``systems`` on the ``parts`` of one domain, one part a seed, all on the same draws."""
    places = tuple(seeds.index(part.seed) for part in parts)
    points = np.full((len(seeds), len(systems), len(scorers)), np.nan)
    points[list(places)] = [scores(part, systems, scorers) for part in parts]

    def score(place: int, weights: Floats) -> Floats:
        return _weighted(parts[place], systems, scorers, weights)

    samples = bootstrap(score, [part.copies for part in parts], seed_draws=seed_draws[:, list(places)], rng=rng)
    samples = samples.reshape(-1, len(systems), len(scorers))
    undefined = [(scorer.name, scorer.why_not(part.labels)) for part in parts for scorer in scorers]
    reasons = {name: reason for name, reason in undefined if reason is not None}
    texts = tuple(_texts(parts, scorer) for scorer in scorers)
    alone = of_few(samples, scorers, texts, rng)
    return Measured(parts, places, points, samples, alone, reasons, texts)


def _texts(parts: Sequence[Scored], scorer: Scorer) -> int:
    """Distinct texts that the interval of one domain's score rests on; 0 where it is undefined under every seed."""
    shown = [part for part in parts if scorer.why_not(part.labels) is None]
    if not shown:
        return 0
    labels, copies = (np.concatenate([getattr(part, name) for part in shown]) for name in ("labels", "copies"))
    return scorer.texts(labels, copies)


def distinct(parts: Sequence[Scored]) -> int:
    """How many texts were scored, copies of one counted once."""
    return len(np.unique(np.concatenate([part.copies for part in parts])))


def together(domains: Sequence[Measured], scorers: Sequence[Scorer], rng: np.random.Generator) -> Floats:
    """(resamples, systems, scorers): draws for the intervals of the mean over ``domains``; one domain's own are its
    mean's."""
    if len(domains) == 1:
        return domains[0].alone
    by_scorer = [[texts for texts in of_one if texts] for of_one in zip(*(m.texts for m in domains), strict=True)]
    rows = [effective_rows(of_domains) if of_domains else 0 for of_domains in by_scorer]
    return of_few(mean_over([measured.samples for measured in domains]), scorers, rows, rng)


def lent(domains: Mapping[str, Measured], rng: np.random.Generator) -> dict[str, Measured]:
    """The ``domains``, those of one row each with samples of one another's."""
    rows = [distinct(measured.parts) for measured in domains.values()]
    samples = collapsed([measured.samples for measured in domains.values()], rows, rng=rng)
    return {name: replace(each, samples=own) for (name, each), own in zip(domains.items(), samples, strict=True)}


def rows_of(domains: Sequence[Measured]) -> float:
    """Rows on which the mean over ``domains`` rests."""
    return effective_rows([distinct(measured.parts) for measured in domains])


def of_few(samples: Floats, scorers: Sequence[Scorer], rows: Sequence[float], rng: np.random.Generator) -> Floats:
    """``samples`` as intervals want them: shares of rows with a phantom row, others NaN where ``rows``, which each
    scorer's intervals rest on, are few."""
    shares = [scorer.name == "accuracy" for scorer in scorers]
    first = shares.index(True)
    softened = with_phantom(samples[:, :, first], rows[first], rng=rng)[:, :, None]
    others = np.where(np.asarray(rows) < FEW, np.nan, samples)
    return np.where(shares, softened, others)


def scores(part: Scored, systems: Sequence[str], scorers: Sequence[Scorer]) -> Floats:
    """(systems, scorers): the scores of ``part``'s rows as they are."""
    every_row = np.ones((1, len(part.labels)))
    return _weighted(part, systems, scorers, every_row).reshape(len(systems), len(scorers))


def _weighted(part: Scored, systems: Sequence[str], scorers: Sequence[Scorer], weights: Floats) -> Floats:
    columns = [s(part.probabilities[system], part.labels, weights) for system in systems for s in scorers]
    return np.stack(columns, axis=1)


def mean_over(arrays: Sequence[Floats]) -> Floats:
    """The mean of equally shaped arrays, entry by entry, over those that define the entry."""
    stacked = np.stack(arrays, axis=-1)
    return mean_defined(stacked.reshape(-1, len(arrays))).reshape(stacked.shape[:-1])


def votes(pairs: Iterable[tuple[Scored, str]]) -> Mcnemar:
    """The exact McNemar test of the model against a system, named part by part; each distinct text has one vote."""
    ours, theirs, copies = [], [], []
    for part, system in pairs:
        ours.append(correct(part.probabilities[MODEL], part.labels))
        theirs.append(correct(part.probabilities[system], part.labels))
        copies.append(part.copies)
    return mcnemar(np.concatenate(ours), np.concatenate(theirs), np.concatenate(copies))
