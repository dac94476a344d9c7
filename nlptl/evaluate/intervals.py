"""95 % intervals by the bootstrap: over rows, over seeds and rows, and of the difference of two systems.

What an interval means: rows are drawn again, with replacement, from the scored rows; 95 % of the draws' scores lie
inside. It speaks of other rows from the same domains, not of other domains, and not of another training set. Rows whose
texts are copies of one another, exact or near, are drawn together: thirty mails of one template are one mail's worth of
evidence (a cluster bootstrap: Davison & Hinkley 1997, §3.8). They are the rows of what follows. Of n rows
n − 1 are drawn, so that a mean varies by as much as it should (Rao & Wu 1988, JASA 83(401)): of three rows, three draws
would vary by a third too little, and so would the mean over forty users of three rows each. A domain of one row does
not vary, so that those domains take one another's rows in the draws of a mean (``collapsed``).

Rows that are all answered rightly are all so in every draw, and a domain's own interval of accuracy would be the point
1. ``with_phantom`` adds the one row that Jeffreys' prior stands for, to a mean over domains too: one beside all their
rows (``effective_rows``), where one a domain would draw the mean of many users to a half. No such row can be made for
other metrics: of fewer than ``FEW`` rows they have no interval, nor of fewer on the rarer side of the label where rows
with it are set against those without, as of F1 and AUC. One spam among 199 ham is caught in each draw that has it.

With several seeds, seeds and rows are drawn again independently of one another, and a row that several seeds score
moves in all of them together (the pigeonhole bootstrap: Owen 2007, Annals of Applied Statistics 1(2)). Where seeds
share no rows this is the usual hierarchy of seeds and rows within; where they share them, drawing rows within each seed
anew would count the same mail several times over and make the interval too narrow. With few seeds S, the part due to
seeds is underestimated by about (S − 1) / S.

Systems are paired: all of them are scored on the same draws, and the interval of a gain is that of the differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.evaluate._scores import ratio

if TYPE_CHECKING:
    from nlptl.contracts import Floats

FEW = 20
"""Distinct rows below which draws of them say little of a metric that is no share of rows."""
CELLS = 2_000_000
"""Weights held at once, so that many rows do not take memory with them."""


def draw_seeds(seeds: int, *, resamples: int, rng: np.random.Generator) -> Floats:
    """(resamples, seeds): how often each resample holds each seed; ones where there is only one seed."""
    return rng.multinomial(seeds, [1 / seeds] * seeds, size=resamples).astype(np.float64)


def bootstrap(
    score: Callable[[int, Floats], Floats],
    copies: Sequence[npt.NDArray[Any]],
    *,
    seed_draws: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Scores of resampled seeds and rows, each averaged over the seeds drawn.

    Args:
        score: takes a seed's place and weights (resamples, its rows); returns (resamples, scores), NaN where undefined.
        copies: of the rows that each seed scored; rows of equal name are one text and are drawn together.
        seed_draws: (resamples, seeds), of ``draw_seeds``. Domains that are averaged later share these.
        rng: draws the rows.

    Returns:
        (resamples, scores); NaN where no seed drawn defines the score.
    """
    distinct, places = np.unique(np.concatenate(list(copies)), return_inverse=True)
    of_seed = np.split(places, np.cumsum([len(rows) for rows in copies])[:-1])
    blocks = []
    for start, draws in _draw_rows(len(distinct), resamples=len(seed_draws), rng=rng):
        scores = np.stack([score(seed, draws[:, rows]) for seed, rows in enumerate(of_seed)], axis=1)
        weights = seed_draws[start : start + len(draws), :, None] * ~np.isnan(scores)
        blocks.append(ratio((weights * np.nan_to_num(scores)).sum(axis=1), weights.sum(axis=1)))
    return np.concatenate(blocks)


def _draw_rows(rows: int, *, resamples: int, rng: np.random.Generator) -> Iterator[tuple[int, Floats]]:
    """Blocks of (resamples, rows) counts of draws with replacement, each with the place of its first resample."""
    block, draws = max(1, CELLS // rows), max(1, rows - 1)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.integers(rows, size=(size, draws)) + rows * np.arange(size)[:, None]
        yield start, np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def with_phantom(samples: Floats, rows: float, *, rng: np.random.Generator) -> Floats:
    """Draws of shares of rows, as if there were one row more, whose part in a draw is right and the rest wrong.

    The row's share of a draw is Beta(1, rows), as of a Bayesian bootstrap (Rubin 1981, Annals of Statistics 9(1)), and
    its part that is right Beta(½, ½): where all rows or none are right, percentiles are those of the posterior under
    Jeffreys' prior, Beta(right + ½, wrong + ½) (Brown, Cai & DasGupta 2001, Statistical Science 16(2)), and near them
    elsewhere. The share is the same for all systems and the part each one's own: of rows on which two systems agree,
    the difference has an interval around 0 and not 0 alone.

    Args:
        samples: (resamples, systems) shares in [0, 1] of ``rows`` distinct rows.
        rows: for a mean over domains, ``effective_rows`` of theirs.
    """
    share = rng.beta(1, rows, size=(len(samples), 1))
    return (1 - share) * samples + share * rng.beta(0.5, 0.5, size=samples.shape)


def collapsed(samples: Sequence[Floats], rows: Sequence[int], *, rng: np.random.Generator) -> list[Floats]:
    """By domain, its ``samples`` (resamples, …); of one of a single row those of any such domain, drawn for each
    resample.

    How much one row varies cannot be told from it, and domains of one row are taken for one stratum (Cochran 1977,
    *Sampling Techniques*, §5A.12), which makes the mean vary rather too much than too little.

    Args:
        rows: by domain, how many distinct ones were scored.
    """
    found = list(samples)
    alone = [place for place, count in enumerate(rows) if count == 1]
    if alone:
        pool = np.stack([samples[place] for place in alone])
        every = np.arange(pool.shape[1])
        for place in alone:
            found[place] = pool[rng.integers(len(pool), size=len(every)), every]
    return found


def effective_rows(rows: Sequence[int]) -> float:
    """Rows of one domain whose mean varies as the mean over domains of so many ``rows`` each does: D² / Σ 1/n_d."""
    return len(rows) ** 2 / sum(1 / of_domain for of_domain in rows)


def on_rarer_side(held: npt.NDArray[np.bool_], copies: npt.NDArray[Any]) -> int:
    """How many distinct texts are on the rarer of two sides, the rows that are ``held`` and the others.

    Args:
        held: (rows,).
        copies: (rows,); rows of equal name are one text.
    """
    return min(len(np.unique(copies[side])) for side in (held, ~held))


def percentiles(samples: Floats) -> tuple[float, float]:
    """The 2.5 % and 97.5 % percentiles of the defined ``samples`` (resamples,); NaN where none is defined."""
    defined = samples[~np.isnan(samples)]
    if not len(defined):
        return (float("nan"), float("nan"))
    low, high = np.percentile(defined, [2.5, 97.5])
    return (float(low), float(high))


def around(point: float, samples: Floats) -> tuple[float, float]:
    """``percentiles`` of ``samples``, moved apart where ``point`` is outside: rows all answered rightly end at 1."""
    low, high = percentiles(samples)
    return (float(np.minimum(low, point)), float(np.maximum(high, point)))
