"""Learning from pairs: which texts should lie together, and which texts to show next."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from nlptl.contracts import UNLABELLED, Floats, Ints


def contrastive_losses(vectors: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """(rows, width) vectors, (rows,) classes → (rows,) losses in nats: the supervised contrastive loss L_out of Khosla
    et al. 2020 (arXiv 2004.11362, eq. 2).

        L_i  =  −1 / |P(i)|  Σ_{p ∈ P(i)}  log ( exp(z_i · z_p / t)  /  Σ_{a ≠ i} exp(z_i · z_a / t) )

    where z is x at length one, t the ``temperature`` and P(i) the other rows of i's class. All pairs of a batch are
    compared for one pass over its rows. The softmax gives hard pairs, near ones of other classes and far ones of the
    same, the most of the gradient. A row that is alone in its class has no positive pair: its loss is 0.
    """
    unit = nn.functional.normalize(vectors, dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    similarity = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    log_share = similarity - torch.logsumexp(similarity, dim=1, keepdim=True)
    positive = (classes[:, None] == classes) & ~itself
    summed = log_share.masked_fill(~positive, 0.0).sum(dim=1)
    return -summed / positive.sum(dim=1).clamp(min=1)


def balanced_rows(classes: Ints, per_class: int, hardness: Floats, rng: np.random.Generator) -> Ints:
    """Positions of at most ``per_class`` rows of each class, drawn without replacement with chances that rise with
    their hardness (Efraimidis & Spirakis 2006: the smallest of Exp(1) / weight come first). No list of pairs is made.

    Args:
        classes: (rows,); rows of class −1 are never drawn.
        hardness: (rows,) positive weights.
    """
    keys = rng.exponential(size=len(classes)) / hardness
    order = np.argsort(keys, kind="stable")
    present = np.unique(classes[classes != UNLABELLED])
    drawn = np.concatenate([order[classes[order] == c][:per_class] for c in present])
    return np.sort(drawn).astype(np.int64)


def has_pairs(classes: Ints) -> bool:
    """Whether two rows share a class while another class is there too: less than that teaches nothing."""
    counts = np.unique(classes[classes != UNLABELLED], return_counts=True)[1]
    return bool(len(counts) > 1 and counts.max() > 1)
