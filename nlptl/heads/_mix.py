"""A learned mix of an encoder's layers, in front of a head."""

import torch
from torch import Tensor, nn


class LayerMix(nn.Module):
    """``γ · Σ_l softmax(s)_l · h_l`` over the layers' vectors h_l (ELMo: Peters et al. 2018, arXiv 1802.05365, eq. 1).

    It starts as the mean of the layers (s = 0, γ = 1).
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, beside: Tensor) -> Tensor:
        """(rows, layers × width) vectors side by side → (rows, width)."""
        apart = beside.unflatten(1, (len(self.scores), -1))
        return self.scale * torch.einsum("l,rlw->rw", self.scores.softmax(0), apart)
