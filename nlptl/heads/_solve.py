"""The closed-form head: maximum a posteriori logistic regression, many problems over the same rows at once.

    min_W  Σ_i r_i · loss(x_i W + o_i, y_i)  +  ½ Σ_j λ_j ‖w_j − m_j‖²

with row weights r (fold masks are zeros and ones), offsets o, prior means m and prior precisions λ = 1/τ². The loss is
the softmax cross-entropy of exclusive classes, or the sum of sigmoid cross-entropies of independent outputs. The
problem is strictly convex, and is solved by truncated Newton steps with conjugate gradients preconditioned by the
Hessian's diagonal (Lin, Weng & Keerthi 2008, "Trust region Newton method for large-scale logistic regression", with a
line search in place of the trust region), in float64. Problems that have converged leave the batch.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Link = Literal["softmax", "sigmoid"]


class Design:
    """The design matrix [dense | sparse | 1] of (rows, width) in float64; the last column is the intercept's."""

    def __init__(self, dense: Tensor, sparse: csr_matrix | None = None) -> None:
        ones = torch.ones(len(dense), 1, dtype=torch.float64, device=dense.device)
        self.dense = torch.cat([dense.to(torch.float64), ones], dim=1)
        self.sparse = None if sparse is None else _torch_csr(sparse, dense.device)
        self.sparse_t = None if sparse is None else _torch_csr(sparse.T.tocsr(), dense.device)
        self.squares = None if sparse is None else _torch_csr(sparse.multiply(sparse).T.tocsr(), dense.device)
        self.lead = dense.shape[1]
        self.width = self.dense.shape[1] + (0 if sparse is None else sparse.shape[1])

    def __len__(self) -> int:
        return len(self.dense)

    def times(self, weights: Tensor) -> Tensor:
        """(width, columns) → (rows, columns)."""
        if self.sparse is None:
            return self.dense @ weights
        dense = torch.cat([weights[: self.lead], weights[-1:]])
        return self.dense @ dense + self.sparse @ weights[self.lead : -1]

    def transposed_times(self, values: Tensor) -> Tensor:
        """(rows, columns) → (width, columns)."""
        return self._join(self.dense.T @ values, None if self.sparse_t is None else self.sparse_t @ values)

    def squared_transposed_times(self, values: Tensor) -> Tensor:
        """As ``transposed_times`` of the squared entries: (rows, columns) → (width, columns)."""
        return self._join((self.dense**2).T @ values, None if self.squares is None else self.squares @ values)

    def _join(self, dense: Tensor, sparse: Tensor | None) -> Tensor:
        return dense if sparse is None else torch.cat([dense[:-1], sparse, dense[-1:]])


def _torch_csr(matrix: csr_matrix, device: torch.device) -> Tensor:
    matrix = matrix.sorted_indices()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")  # they are not
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float64)),
            size=matrix.shape,
            device=device,
            check_invariants=True,
        )


@dataclass(frozen=True)
class Problems:
    """A batch of problems over one design of (rows, width), with ``outputs`` logits a row.

    Shapes: targets (rows, outputs) of 0 and 1; row_weights (batch, rows); precision λ (batch, width);
    prior m (width, outputs) or None for zeros; offset o (rows, outputs) or None for zeros.
    """

    design: Design
    targets: Tensor
    row_weights: Tensor
    precision: Tensor
    link: Link
    prior: Tensor | None = None
    offset: Tensor | None = None

    def products(self, weights: Tensor) -> Tensor:
        """(batch, width, outputs) weights → (rows, batch, outputs) products with the rows, without offsets."""
        batch, width, outputs = weights.shape
        products = self.design.times(weights.permute(1, 0, 2).reshape(width, batch * outputs))
        return products.view(len(self.design), batch, outputs)

    def logits(self, weights: Tensor) -> Tensor:
        """(batch, width, outputs) weights → (rows, batch, outputs) logits."""
        products = self.products(weights)
        return products if self.offset is None else products + self.offset[:, None]

    def pull_back(self, values: Tensor) -> Tensor:
        """(rows, batch, outputs) → (batch, width, outputs) by the transposed design."""
        rows, batch, outputs = values.shape
        return self.design.transposed_times(values.reshape(rows, -1)).view(-1, batch, outputs).permute(1, 0, 2)

    def subset(self, active: Tensor) -> Problems:
        """The problems at the positions ``active``."""
        return Problems(
            self.design, self.targets, self.row_weights[active], self.precision[active], self.link, self.prior,
            self.offset,
        )  # fmt: skip


def row_losses(logits: Tensor, targets: Tensor, link: Link) -> Tensor:
    """Loss of each row in nats: (…, outputs) logits and targets → (…)."""
    if link == "softmax":
        return torch.logsumexp(logits, dim=-1) - (logits * targets).sum(-1)
    return (torch.nn.functional.softplus(logits) - logits * targets).sum(-1)


def solve(
    problems: Problems, *, start: Tensor | None = None, tolerance: float = 1e-10, max_iterations: int = 100
) -> Tensor:
    """The minimisers of all ``problems``: (batch, width, outputs), float64.

    Args:
        start: (batch, width, outputs) weights to begin from, such as the solution of a problem alike; none: the prior.

    A problem has converged when a Newton step promises to lower its objective by less than ``tolerance`` nats a unit
    of row weight (half the Newton decrement: Boyd & Vandenberghe 2004, §9.5.1), and that last step is taken. The
    gradient's size would not do: where priors are weak, it hardly differs between solutions that predict differently.

    Raises:
        RuntimeError: a problem did not converge within ``max_iterations`` Newton steps.
    """
    batch, outputs = len(problems.row_weights), problems.targets.shape[1]
    prior = torch.zeros(problems.design.width, outputs, dtype=torch.float64, device=problems.targets.device)
    prior = prior if problems.prior is None else problems.prior.to(prior)
    solution = (prior.expand(batch, -1, -1) if start is None else start).clone()
    scale = problems.row_weights.sum(1).clamp(min=1)
    active = torch.arange(batch, device=prior.device)
    for _ in range(max_iterations):
        now, weights = problems.subset(active), solution[active]
        logits = now.logits(weights)
        gradient = _gradient(now, logits, weights - prior)
        step = _newton_step(now, logits, gradient)
        solution[active] = weights + _line_search(now, weights, prior, logits, step, gradient)
        promised = -(gradient * step).flatten(1).sum(1) / 2
        active = active[promised > tolerance * scale[active]]
        if not len(active):
            return solution
    raise RuntimeError(f"{len(active)} of {batch} logistic regressions did not converge in {max_iterations} steps")


def probabilities(logits: Tensor, link: Link) -> Tensor:
    """(…, outputs) logits → (…, outputs) probabilities of 1."""
    return torch.softmax(logits, dim=-1) if link == "softmax" else torch.sigmoid(logits)


def _gradient(problems: Problems, logits: Tensor, deviation: Tensor) -> Tensor:
    errors = probabilities(logits, problems.link) - problems.targets[:, None]
    return problems.pull_back(errors * problems.row_weights.T[:, :, None]) + problems.precision[:, :, None] * deviation


def _newton_step(problems: Problems, logits: Tensor, gradient: Tensor) -> Tensor:
    """Conjugate gradients on Hessian · step = −gradient, to a tolerance that tightens as the gradient shrinks."""
    responses = probabilities(logits, problems.link)
    row_weights = problems.row_weights.T[:, :, None]
    precision = problems.precision[:, :, None]

    def curvature(direction: Tensor) -> Tensor:
        moved = problems.products(direction)
        if problems.link == "softmax":
            bent = responses * (moved - (responses * moved).sum(-1, keepdim=True))
        else:
            bent = responses * (1 - responses) * moved
        return problems.pull_back(bent * row_weights) + precision * direction

    spread = responses * (1 - responses) * row_weights
    rows, batch, outputs = spread.shape
    diagonal = problems.design.squared_transposed_times(spread.reshape(rows, -1)).view(-1, batch, outputs)
    diagonal = (diagonal.permute(1, 0, 2) + precision).clamp(min=1e-12)

    step, residual = torch.zeros_like(gradient), -gradient
    size = gradient.flatten(1).norm(dim=1)
    target = size * torch.minimum(torch.tensor(0.1, dtype=size.dtype), size.sqrt() / (1 + size.sqrt()) * 0.1)
    scaled = residual / diagonal
    direction = scaled
    product = (residual * scaled).flatten(1).sum(1)
    for _ in range(200):
        bent = curvature(direction)
        length = product / (direction * bent).flatten(1).sum(1).clamp(min=1e-300)
        step = step + length[:, None, None] * direction
        residual = residual - length[:, None, None] * bent
        if bool((residual.flatten(1).norm(dim=1) <= target).all()):
            break
        scaled = residual / diagonal
        previous, product = product, (residual * scaled).flatten(1).sum(1)
        direction = scaled + (product / previous.clamp(min=1e-300))[:, None, None] * direction
    return step


def _line_search(
    problems: Problems, weights: Tensor, prior: Tensor, logits: Tensor, step: Tensor, gradient: Tensor
) -> Tensor:
    """The step, halved for each problem until the objective falls enough (Armijo); a convex problem needs few."""
    moved = problems.products(step)
    slope = (gradient * step).flatten(1).sum(1)
    deviation = weights - prior

    def objective(length: Tensor) -> Tensor:
        losses = row_losses(logits + length[None, :, None] * moved, problems.targets[:, None], problems.link)
        apart = deviation + length[:, None, None] * step
        return (losses * problems.row_weights.T).sum(0) + (problems.precision[:, :, None] * apart**2).sum((1, 2)) / 2

    start, length = objective(torch.zeros_like(slope)), torch.ones_like(slope)
    for _ in range(40):
        short = objective(length) > start + 1e-4 * length * slope + 1e-12 * start.abs()
        if not short.any():
            break
        length = torch.where(short, length / 2, length)
    return length[:, None, None] * step
