"""Logistic regression in the dual, under Laplace's approximation: many small problems as one batch.

A problem has latent values f = K a over its n rows, one column an output, with prior f_c ~ N(0, K) for each output c
and likelihood p(y | f + o), where o are fixed offsets. The mode maximises

    Ψ(a)  =  Σ_i r_i log p(y_i | f_i + o_i)  −  ½ Σ_c a_cᵀ K a_c,        f = K a,

and the log evidence is  log p(y) ≈ Ψ(â) − ½ log |I + K H|  with H the Hessian of −log p at the mode. Row weights r of
zero leave rows out of the likelihood: padding, or a fold's held-out rows, whose f is then their prediction.

Rasmussen & Williams (2006), Gaussian Processes for Machine Learning: algorithms 3.1 (sigmoid) and 3.3 (softmax), with a
line search; of n rows and C outputs a Newton step costs C Cholesky factors of n × n (softmax: one more), whatever the
width of the vectors behind K. In the softmax case H = D − ΠΠᵀ, and with E_c = (K + D_c⁻¹)⁻¹

    |I + K H|  =  |M| Π_c |I + D_c^½ K D_c^½|,        M = diag(1 − r) + Σ_c E_c.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nlptl.heads._solve import Link, probabilities, row_losses


@dataclass(frozen=True)
class Mode:
    """Where the posterior of a batch of problems is highest.

    Attributes:
        dual: a, (batch, rows, outputs).
        latent: f = K a, (batch, rows, outputs), offsets not included.
        latents: the problems.
    """

    dual: Tensor
    latent: Tensor
    latents: Latents

    @cached_property
    def evidence(self) -> Tensor:
        """(batch,) log p(y), in nats."""
        curvature = _Curvature.at(self.latents, self.latent)
        return self.latents.objective(self.dual, self.latent) - curvature.log_determinant() / 2


@dataclass(frozen=True)
class Latents:
    """A batch of problems, float64: kernel (batch, rows, rows); targets of 0 and 1 and offsets (batch, rows, outputs);
    row_weights of 0 and 1 (batch, rows)."""

    kernel: Tensor
    targets: Tensor
    offsets: Tensor
    row_weights: Tensor
    link: Link

    def subset(self, active: Tensor) -> Latents:
        """The problems that (batch,) bool ``active`` marks."""
        return Latents(
            self.kernel[active], self.targets[active], self.offsets[active], self.row_weights[active], self.link
        )

    def log_likelihood(self, latent: Tensor) -> Tensor:
        """(batch,): Σ r log p(y | f + o)."""
        return -(row_losses(latent + self.offsets, self.targets, self.link) * self.row_weights).sum(-1)

    def objective(self, dual: Tensor, latent: Tensor) -> Tensor:
        """(batch,): Ψ."""
        return self.log_likelihood(latent) - (dual * latent).sum((1, 2)) / 2


def laplace(
    latents: Latents, *, start: Tensor | None = None, tolerance: float = 1e-6, max_iterations: int = 100
) -> Mode:
    """The modes of all problems.

    A problem has converged when a whole Newton step moves no logit by more than ``tolerance``, and that step is taken:
    the next would move them by about its square.

    Args:
        start: (batch, rows, outputs) a to begin from, such as that of problems alike; none: 0.

    Raises:
        RuntimeError: a problem did not converge within ``max_iterations`` Newton steps.
    """
    dual = torch.zeros_like(latents.targets) if start is None else start.clone()
    latent = torch.zeros_like(dual) if start is None else latents.kernel @ dual
    active = torch.arange(len(dual), device=dual.device)
    now, a, f = latents, dual, latent
    for _ in range(max_iterations):
        step = _Curvature.at(now, f).newton(a, f)
        moved = now.kernel @ step
        length = _line_search(now, a, f, step, moved)
        a, f = a + length * step, f + length * moved
        going = (moved.abs().amax((1, 2)) > tolerance) | (length[:, 0, 0] < 1)
        if bool(going.all()):
            continue
        dual[active], latent[active] = a, f
        active, a, f = active[going], a[going], f[going]
        if not len(active):
            return Mode(dual, latent, latents)
        now = now.subset(going)
    raise RuntimeError(f"{len(active)} of {len(dual)} logistic regressions did not converge in {max_iterations} steps")


@dataclass(frozen=True)
class _Curvature:
    """The Hessian at some latent values, factored.

    Attributes:
        share: r · p(y = 1), (batch, rows, outputs).
        root: D^½, (batch, outputs, rows).
        factor: of I + D^½ K D^½, (batch, outputs, rows, rows).
        inverse: E, (batch, outputs, rows, rows), and ``joint``, the factor of M, where outputs are coupled by softmax.
    """

    latents: Latents
    share: Tensor
    root: Tensor
    factor: Tensor
    inverse: Tensor | None
    joint: Tensor | None

    @classmethod
    def at(cls, latents: Latents, latent: Tensor) -> _Curvature:
        p = probabilities(latent + latents.offsets, latents.link)
        share = p * latents.row_weights[:, :, None]
        softmax = latents.link == "softmax"
        root = (share if softmax else share * (1 - p)).sqrt().transpose(1, 2).contiguous()
        whitened = (latents.kernel[:, None] * root[..., None, :]).mul_(root[..., None])
        whitened.diagonal(dim1=-2, dim2=-1).add_(1)
        factor = torch.linalg.cholesky(whitened)
        if not softmax:
            return cls(latents, share, root, factor, None, None)
        inverse = torch.cholesky_inverse(factor).mul_(root[..., None, :]).mul_(root[..., None])
        coupled = inverse.sum(1) + torch.diag_embed(1 - latents.row_weights)
        return cls(latents, share, root, factor, inverse, torch.linalg.cholesky(coupled))

    def newton(self, dual: Tensor, latent: Tensor) -> Tensor:
        """The Newton step from ``dual``: (batch, rows, outputs)."""
        latents = self.latents
        gradient = latents.targets * latents.row_weights[:, :, None] - self.share
        if self.inverse is None or self.joint is None:
            aim = self.root.transpose(1, 2) ** 2 * latent + gradient
            return aim - self._damped(latents.kernel @ aim) - dual
        mean = (probabilities(latent + latents.offsets, latents.link) * latent).sum(-1, keepdim=True)
        aim = self.share * (latent - mean) + gradient
        damped = self._damped(latents.kernel @ aim)
        together = torch.cholesky_solve(damped.sum(-1, keepdim=True), self.joint)
        return aim - damped + (self.inverse @ together[:, None]).squeeze(-1).transpose(1, 2) - dual

    def _damped(self, values: Tensor) -> Tensor:
        """E v = D^½ (I + D^½ K D^½)⁻¹ D^½ v, output by output."""
        inner = (self.root * values.transpose(1, 2))[..., None]
        return (self.root * torch.cholesky_solve(inner, self.factor)[..., 0]).transpose(1, 2)

    def log_determinant(self) -> Tensor:
        """(batch,): log |I + K H|."""
        both = 2 * self.factor.diagonal(dim1=-2, dim2=-1).log().sum((1, 2))
        return both if self.joint is None else both + 2 * self.joint.diagonal(dim1=-2, dim2=-1).log().sum(1)


def _line_search(latents: Latents, dual: Tensor, latent: Tensor, step: Tensor, moved: Tensor) -> Tensor:
    """(batch, 1, 1): 1, halved for each problem until its objective does not fall."""
    before = latents.objective(dual, latent)
    length = torch.ones(len(dual), 1, 1, dtype=dual.dtype, device=dual.device)
    for _ in range(40):
        falls = latents.objective(dual + length * step, latent + length * moved) < before - 1e-10 * (1 + before.abs())
        if not falls.any():
            break
        length[falls] /= 2
    return length
