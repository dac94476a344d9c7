"""What a kind of the room ``augment`` must offer: texts beside a text, or another view of a batch in the training step.

Either touches rows that teach alone, never those that are scored or that choose; what is random is drawn from the
recipe's seed and from the row or the global batch, whichever process works on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.registry import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from nlptl.encoder.tokens import TokenBatch


class Augment(Settings):
    """A way to make more of the rows that teach; kept where it clearly lowers the validation loss."""

    kind: str


class Views(Augment):
    """Texts that stand beside a text, with its labels, as rows of their own."""

    def views(self, text: str, rng: np.random.Generator) -> list[str]:
        """Other wordings of ``text``, none of them equal to it or to another; there may be none."""
        raise NotImplementedError


class Cutting(Augment):
    """A view of a batch with parts of its texts left out, whose loss and disagreement join the loss."""

    def cut(self, tokens: TokenBatch, width: int, seeds: Ints) -> Cut:
        """What of each row is left out.

        Args:
            width: of the encoder's embeddings.
            seeds: (rows,) of what is random about each.
        """
        raise NotImplementedError

    def total(self, whole: Tensor, cut: Tensor, disagreement: Tensor) -> Tensor:
        """(rows,) losses of the whole texts, of the cut ones, and how much their answers differ → (rows,) in nats."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cut:
    """What a view leaves out; None where it leaves nothing out of that sort.

    Attributes:
        attention: (sequences, tokens) 1 for the tokens that are read.
        features: (sequences, 1, width) 0 for the places of word embeddings that are zero.
    """

    attention: Tensor | None = None
    features: Tensor | None = None


class Mixing(Augment):
    """Rows of a batch mixed with one another, vectors and labels alike."""

    def shares(self, rows: int, rng: np.random.Generator) -> Floats:
        """(rows,) how much of itself each row keeps, in [0, 1]."""
        raise NotImplementedError
