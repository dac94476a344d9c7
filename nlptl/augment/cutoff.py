"""Cutoff: parts of a text are left out in a second pass, which is to be answered alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.contracts.augment import Cut, Cutting

if TYPE_CHECKING:
    from torch import Tensor

    from nlptl.contracts import Ints
    from nlptl.encoder.tokens import TokenBatch


class Cutoff(Cutting):
    """Cutoff (Shen et al. 2020, arXiv 2009.13818): ``L(x) + loss · L(x′) + agree · JS(x, x′)``, x′ with parts left out.

    ``token``: a share of the tokens at random places; ``span``: as many in a row; ``feature``: a share of the places of
    all word embeddings of a text is zero. Tokens that are left out are neither attended to nor pooled, which is the
    paper's zeroing of embedding and mask; special tokens stay. The divergence is that of Jensen and Shannon between the
    two passes' answers.
    """

    kind: Literal["cutoff"] = "cutoff"
    of: Literal["token", "span", "feature"] = Field("span", description="What is left out.")
    share: float = Field(0.1, gt=0, lt=1, description="How much of it.")
    loss: float = Field(1.0, ge=0, description="Weight of the loss of the cut texts.")
    agree: float = Field(1.0, ge=0, description="Weight of the divergence between the answers.")

    def cut(self, tokens: TokenBatch, width: int, seeds: Ints) -> Cut:
        """What of each row is left out."""
        from nlptl.augment._cut import kept_features, kept_tokens

        if self.of == "feature":
            return Cut(features=kept_features(tokens, width, seeds, self.share))
        return Cut(attention=kept_tokens(tokens, seeds, self.share, in_a_row=self.of == "span"))

    def total(self, whole: Tensor, cut: Tensor, disagreement: Tensor) -> Tensor:
        """(rows,) each → (rows,)."""
        return whole + self.loss * cut + self.agree * disagreement
