"""Maximum mean discrepancy: source and target features are brought together in every moment that a kernel sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.contracts.adapt import Step, Term

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the kernels, in medians of the squared distances between rows."""


class Mmd(Term):
    """Multi-kernel maximum mean discrepancy on the features (Long et al. 2015, arXiv 1502.02791).

    Gaussian kernels of five widths around the median of the squared distances, with equal shares; the paper learns the
    shares and estimates in linear time, which small batches do not need. For the same shifts as ``coral``, and those
    that leave second moments alone.
    """

    kind: Literal["mmd"] = "mmd"
    weight: float = Field(0.3, ge=0, description="What the term is multiplied by.")

    def loss(self, step: Step, layers: nn.Module | None) -> Tensor:
        """The squared discrepancy; without units, at most about 2, and slightly below 0 by chance."""
        return mmd_loss(step.source.features, step.target.features)


def mmd_loss(source: Tensor, target: Tensor, widths: tuple[float, ...] = WIDTHS) -> Tensor:
    """Σ_{i≠j} k(s_i, s_j) / (m(m−1)) + Σ_{i≠j} k(t_i, t_j) / (n(n−1)) − 2 Σ_{i,j} k(s_i, t_j) / (mn).

    The unbiased estimate of Gretton et al. 2012 (JMLR 13, equation 3) with k(x, y) the mean over ``widths`` u of
    exp(−‖x − y‖² / (u · median)), the median being that of ‖x − y‖² over all pairs of distinct rows, taken as given.

    Args:
        source, target: (m, d) and (n, d), two rows or more each.

    Returns:
        A scalar; 0 for fewer than two rows on a side.
    """
    import torch

    m, n = len(source), len(target)
    if min(m, n) < 2:
        return (source.sum() + target.sum()) * 0
    rows = torch.cat([source, target])
    # By products: cdist's gradient is not a number where two rows are equal.
    squares = (rows**2).sum(1)
    distances = (squares[:, None] + squares - 2 * rows @ rows.T).clamp(min=0)
    distinct = ~torch.eye(m + n, dtype=torch.bool, device=rows.device)
    median = distances.detach()[distinct].median().clamp(min=1e-12)
    kernel = torch.stack([torch.exp(-distances / (width * median)) for width in widths]).mean(0) * distinct
    within = kernel[:m, :m].sum() / (m * (m - 1)) + kernel[m:, m:].sum() / (n * (n - 1))
    return within - 2 * kernel[:m, m:].mean()
