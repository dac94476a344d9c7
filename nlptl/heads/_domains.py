"""Heads that differ by domain, as far as the domains' labels show that they differ: hierarchical logistic regression.

    logits_i  =  o_i + x_i V_d + b_d,      V_d ~ N(0, τ² I),   b_d ~ N(0, σ² I)       for row i of domain d

where o is what the shared head w_0 says of the row, so that w_d = w_0 + V_d ~ N(w_0, τ² I) (Evgeniou & Pontil 2004,
"Regularized multi-task learning"; the shared prior of Bickel & Scheffer 2006), and the intercept, which a mere shift of
label shares moves, has a spread of its own. τ and σ are those with the highest evidence, Laplace's approximation summed
over domains (empirical Bayes: MacKay 1992), both 0 among them: domains that agree are pooled.

Offsets of rows that also taught the shared head must be its logits **out of fold**: a head that has seen a row's label
leaves nothing of it to explain, and domains would seem to agree. Given τ, σ and the offsets, domains do not depend on
one another: all are solved as one batch, in the dual (``_laplace``) where a domain has few rows, else as in ``_solve``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from nlptl.contracts import Ints
from nlptl.heads._laplace import Latents, laplace
from nlptl.heads._scaling import Array
from nlptl.heads._solve import Design, Link, Problems, solve

TAUS = (0.0, *(float(tau) for tau in np.logspace(-1.5, 2, 15)))
"""Spreads τ of the weights that are tried, for vectors of root-mean-square length one."""

SIGMAS = (0.0, *(float(sigma) for sigma in np.logspace(-1, 1, 9)))
"""Spreads σ of the intercept that are tried, in logits."""

START = (6, 5)
"""Where the search begins, as places in both: τ = .56, σ = 1."""

DUAL_ROWS = 512
"""A domain with more rows than this is solved in the primal, and shows its evidence on so many of them."""

EVIDENCE_DOMAINS = 256
"""Two numbers are estimated; so many domains, evenly spaced, tell them as well as thousands would."""

SEARCH_TOLERANCE = 1e-3
"""In logits, of the solves that only rank spreads; what is left after the last step is about its square."""

BATCH_ENTRIES = 2**18
"""Kernel entries a batch: arrays of 2 MiB, which a processor keeps at hand. Of 10 MiB, products took twice as long."""


@dataclass(frozen=True)
class Spread:
    """How far domains lie from the shared head: standard deviations τ of each weight and σ of each intercept."""

    weights: float
    intercept: float

    @property
    def pooled(self) -> bool:
        """Whether all domains are served by the shared head itself."""
        return self.weights == self.intercept == 0


@dataclass(frozen=True)
class GroupedRows:
    """Labelled rows of several domains, and what the shared head says of them.

    Attributes:
        vectors: (rows, width) float64, scaled as ``Scaling`` does.
        targets: (rows, outputs) of 0 and 1, as ``Task.targets`` gives them.
        offsets: (rows, outputs) logits of the shared head, out of fold where the rows taught it.
        members: for each domain the positions of its rows, at least one.
        link: of the task.
    """

    vectors: Array
    targets: Array
    offsets: Array
    members: Sequence[Ints]
    link: Link


@dataclass(frozen=True)
class Deviations:
    """What is added to the shared head for each domain, for scaled vectors.

    Attributes:
        weights: (domains, width, outputs).
        bias: (domains, outputs).
    """

    weights: Array
    bias: Array


def choose_spread(rows: GroupedRows) -> tuple[Spread, float]:
    """The spread with the highest evidence on the grid, and by how many nats it exceeds that of pooling all domains.

    From the middle of the grid uphill, one step along either axis at a time. Measured on at most ``EVIDENCE_DOMAINS``
    domains and ``DUAL_ROWS`` rows of each, evenly spaced: fewer rows blur what a domain shows of the spread without
    bending it.
    """
    domains = _evenly(np.arange(len(rows.members)), EVIDENCE_DOMAINS)
    seen = replace(rows, members=[_evenly(rows.members[d], DUAL_ROWS) for d in domains])
    batches = [Batch.of(seen, places) for places in dual_batches(seen)]

    @cache
    def evidence(point: tuple[int, int]) -> float:
        spread = TAUS[point[0]], SIGMAS[point[1]]
        modes = (laplace(batch.latents(*spread), tolerance=SEARCH_TOLERANCE) for batch in batches)
        return sum(float(mode.evidence.sum()) for mode in modes)

    best, pooled = START, (0, 0)
    while (uphill := max([best, *_beside(best)], key=evidence)) != best:
        best = uphill
    best = max(pooled, best, key=evidence)
    return Spread(TAUS[best[0]], SIGMAS[best[1]]), evidence(best) - evidence(pooled)


def _beside(point: tuple[int, int]) -> list[tuple[int, int]]:
    tau, sigma = point
    beside = [(tau - 1, sigma), (tau + 1, sigma), (tau, sigma - 1), (tau, sigma + 1)]
    return [(t, s) for t, s in beside if 0 <= t < len(TAUS) and 0 <= s < len(SIGMAS)]


def deviate(rows: GroupedRows, spread: Spread, taus: Array | None = None) -> Deviations:
    """The most probable deviation of each domain, given τ and σ.

    Args:
        taus: (domains,) the τ of each domain, in place of that of ``spread``.
    """
    domains, (_, width), outputs = len(rows.members), rows.vectors.shape, rows.targets.shape[1]
    weights, bias = np.zeros((domains, width, outputs)), np.zeros((domains, outputs))
    own = np.full(domains, spread.weights) if taus is None else taus
    for places in dual_batches(rows):
        batch, tau = Batch.of(rows, places), torch.from_numpy(own[places])[:, None, None]
        dual = laplace(batch.latents(tau, spread.intercept)).dual
        weights[places] = (tau**2 * (batch.vectors.transpose(1, 2) @ dual)).numpy()
        bias[places] = spread.intercept**2 * dual.sum(1).numpy()
    for place in large(rows):
        members = rows.members[place]
        problem = primal(rows, members, replace(spread, weights=float(own[place])), torch.ones(1, len(members)))
        [solution] = solve(problem).numpy()
        weights[place], bias[place] = solution[:-1], solution[-1]
    return Deviations(weights, bias)


def deviate_out_of_fold(
    rows: GroupedRows, spread: Spread, folds: Sequence[tuple[Ints, Ints]], taus: Array | None = None
) -> Array:
    """(rows, outputs) logits, offsets included, of each row with the deviation that its domain's rows of other folds
    give; the offset alone for rows that no fold holds out, or whose domain has no other rows.

    Args:
        folds: pairs of (teaching, held-out) positions among all rows.
        taus: (domains,) the τ of each domain, in place of that of ``spread``.
    """
    logits = rows.offsets.copy()
    own = np.full(len(rows.members), spread.weights) if taus is None else taus
    teaches = np.zeros((len(folds), len(rows.vectors)))
    for fold, (teach, _) in enumerate(folds):
        teaches[fold, teach] = 1
    fold_of = np.full(len(rows.vectors), -1, dtype=np.int64)
    for fold, (_, held) in enumerate(folds):
        fold_of[held] = fold
    for places in dual_batches(rows):
        batch = Batch.of(rows, places)
        latents = batch.latents(torch.from_numpy(own[places])[:, None, None], spread.intercept)
        for fold, weights in enumerate(teaches):
            row_weights = latents.row_weights * torch.from_numpy(weights)[batch.index]
            latent = laplace(replace(latents, row_weights=row_weights)).latent.numpy()
            here = (fold_of[batch.index] == fold) & (latents.row_weights.numpy() > 0)
            logits[batch.index[here]] += latent[here]
    for place in large(rows):
        members = rows.members[place]
        near = replace(spread, weights=float(own[place]))
        problems = primal(rows, members, near, torch.from_numpy(teaches[:, members]))
        products = problems.products(solve(problems)).numpy()
        inside = fold_of[members] >= 0
        logits[members[inside]] += products[inside, fold_of[members[inside]]]
    return logits


@dataclass(frozen=True)
class Batch:
    """Domains of like size, padded to one: index (domains, rows) of positions, 0 where there is no row."""

    index: Ints
    vectors: Tensor
    gram: Tensor
    targets: Tensor
    offsets: Tensor
    row_weights: Tensor
    link: Link

    @classmethod
    def of(cls, rows: GroupedRows, places: Ints) -> Batch:
        members = [rows.members[place] for place in places]
        longest = max(1, *(len(positions) for positions in members))
        index = np.zeros((len(members), longest), dtype=np.int64)
        there = np.zeros((len(members), longest))
        for place, positions in enumerate(members):
            index[place, : len(positions)], there[place, : len(positions)] = positions, 1
        row_weights = torch.from_numpy(there)
        vectors = torch.from_numpy(rows.vectors[index])
        vectors[row_weights == 0] = 0
        return cls(
            index, vectors, vectors @ vectors.transpose(1, 2), torch.from_numpy(rows.targets[index]),
            torch.from_numpy(rows.offsets[index]), row_weights, rows.link,
        )  # fmt: skip

    def latents(self, tau: float | Tensor, sigma: float) -> Latents:
        """The problems in the dual: K = τ² X Xᵀ + σ² 1 1ᵀ, with one τ, or (batch, 1, 1) of them."""
        kernel = (tau**2 * self.gram).add_(sigma**2)
        return Latents(kernel, self.targets, self.offsets, self.row_weights, self.link)


def dual_batches(rows: GroupedRows) -> Iterator[Ints]:
    """Places of the domains that are solved in the dual, those of like size together, as many as memory should hold."""
    sizes = np.array([len(positions) for positions in rows.members])
    order = np.argsort(sizes, kind="stable")
    order = order[sizes[order] <= DUAL_ROWS]
    start, outputs = 0, rows.targets.shape[1]
    while start < len(order):
        longest = sizes[order[start]] * 1.25 + 4
        fits = sizes[order[start:]] <= longest
        fits &= np.arange(1, len(fits) + 1) * sizes[order[start:]] ** 2 * outputs <= BATCH_ENTRIES
        count = max(1, int(fits.argmin()) if not fits.all() else len(fits))
        yield order[start : start + count]
        start += count


def large(rows: GroupedRows) -> list[int]:
    """Places of the domains that are solved in the primal."""
    return [place for place, positions in enumerate(rows.members) if len(positions) > DUAL_ROWS]


def primal(rows: GroupedRows, members: Ints, spread: Spread, row_weights: Tensor) -> Problems:
    """One large domain's problems, one a row of (batch, rows) ``row_weights``."""
    design = Design(torch.from_numpy(rows.vectors[members]))
    precision = torch.full((len(row_weights), design.width), max(spread.weights, 1e-6) ** -2, dtype=torch.float64)
    precision[:, -1] = max(spread.intercept, 1e-6) ** -2
    return Problems(
        design, torch.from_numpy(rows.targets[members]), row_weights.double(), precision, rows.link,
        offset=torch.from_numpy(rows.offsets[members]),
    )  # fmt: skip


def _evenly(values: Ints, most: int) -> Ints:
    """At most ``most`` of ``values``, evenly spaced."""
    if len(values) <= most:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, most).round().astype(np.int64)])
