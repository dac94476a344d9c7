"""How far each domain may lie from the shared head, chosen by folds of its own rows: for domains with many labels of
their own, where one distance for all (``_domains.choose_spread``) would bind some too hard and others too little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nlptl.contracts import Ints
from nlptl.heads._domains import SEARCH_TOLERANCE, TAUS, Batch, GroupedRows, Spread, dual_batches, large, primal
from nlptl.heads._laplace import laplace
from nlptl.heads._scaling import Array
from nlptl.heads._solve import Design, row_losses, solve


def choose_taus(
    rows: GroupedRows, folds: Sequence[tuple[Ints, Ints]], *, taus: Sequence[float] = TAUS, sigma: float
) -> Array:
    """(domains,) for each domain the τ of ``taus`` whose heads lose least on its rows that its folds hold out, summed,
    given σ; of equals the smallest. A domain that no fold teaches anything gets the smallest.

    All domains are solved side by side, in each fold from the smallest τ up, each from the solution before.

    Args:
        folds: pairs of (teaching, held-out) positions among all rows.
    """
    losses = np.zeros((len(rows.members), len(taus)))
    order = np.argsort(taus)
    for teach, held in folds:
        inside = replace(rows, members=_within(rows.members, teach, len(rows.vectors)))
        outside = _within(rows.members, held, len(rows.vectors))
        for places in dual_batches(inside):
            batch, asked = Batch.of(inside, places), Batch.of(replace(rows, members=outside), places)
            across = asked.vectors @ batch.vectors.transpose(1, 2)
            dual: Tensor | None = None
            before = 0.0
            for place in order:
                tau = taus[place]
                start = None if dual is None else _rescaled(dual, (before / tau) ** 2, batch.row_weights)
                dual = laplace(batch.latents(tau, sigma), start=start, tolerance=SEARCH_TOLERANCE).dual
                latent = tau**2 * (across @ dual) + sigma**2 * dual.sum(1, keepdim=True)
                lost = row_losses(latent + asked.offsets, asked.targets, rows.link) * asked.row_weights
                losses[places, place] += lost.sum(1).numpy()
                before = tau
        for domain in large(inside):
            losses[domain] += _large_losses(rows, inside.members[domain], outside[domain], taus, sigma)
    best: Ints = order[losses[:, order].argmin(axis=1)]
    return np.asarray(taus, dtype=np.float64)[best]


def _within(members: Sequence[Ints], chosen: Ints, rows: int) -> list[Ints]:
    """Of each domain's positions among ``rows`` those that are ``chosen``."""
    marked = np.zeros(rows, dtype=bool)
    marked[chosen] = True
    return [positions[marked[positions]] for positions in members]


def _rescaled(dual: Tensor, ratio: float, row_weights: Tensor) -> Tensor:
    """A start for another τ, whose square is 1 / ``ratio`` times as large: the same weights, and the same intercept,
    which Σ a says, whatever σ."""
    there = row_weights[:, :, None]
    mean = dual.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
    return ratio * dual + (1 - ratio) * mean * there


def _large_losses(rows: GroupedRows, teach: Ints, held: Ints, taus: Sequence[float], sigma: float) -> Array:
    """(τ,) losses of one large domain's held-out rows."""
    everyone = torch.ones(1, len(teach))
    asked = Design(torch.from_numpy(rows.vectors[held]))
    offsets, targets = torch.from_numpy(rows.offsets[held]), torch.from_numpy(rows.targets[held])
    found = []
    for tau in taus:
        [weights] = solve(primal(rows, teach, Spread(tau, sigma), everyone))
        found.append(float(row_losses(asked.times(weights) + offsets, targets, rows.link).sum()))
    return np.array(found)
