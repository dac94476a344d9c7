"""The body learns from a handful of labels which texts lie together; a solved head reads the new vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nlptl.contracts import Tune

if TYPE_CHECKING:
    from nlptl.encoder.backbone import Backbone

RATES = {"lora": 3e-3, "full": 2e-4}


class Contrastive(Tune):
    """For a few labels a class: the body learns from pairs of texts, kept where held-out rows say that it helps.

    After SetFit (Tunstall et al. 2022, arXiv 2209.11055): pairs from k-shot labels move the body, then a head is solved
    on its vectors. Unlike there, all pairs of a class-balanced batch are compared for one pass over its texts, and how
    long to train, how strong the head's prior is, its temperature, and whether the rung is kept at all are chosen on
    rows that taught neither body nor head: bodies are trained without each fold in turn (cross-fitting), since rows
    that taught a body look separable whatever it is worth.
    """

    kind: Literal["contrastive"] = "contrastive"
    body: Literal["lora", "full"] = Field("full", description="What learns: an adapter, or the weights themselves.")
    layers: Literal["all"] | Annotated[int, Field(gt=0)] = Field(
        "all", description="all, or how many top layers learn: fewer are faster. The embeddings stay as they are."
    )
    rank: int = Field(8, gt=0, description="With body: lora, the rank of the adapter.")
    lr: float | None = Field(None, gt=0, description="Learning rate; none: 3e-3 for lora, 2e-4 for full.")
    steps: int = Field(4, gt=0, description="At most so many batches; held-out rows may stop it before.")
    check_steps: int = Field(2, gt=0, description="Held-out rows are looked at after every so many batches.")
    rows: int = Field(48, ge=4, description="Texts a batch, the same number of each label, two at least.")
    temperature: float = Field(0.3, gt=0, description="Of the loss: the lower, the more the hardest pairs count.")
    folds: int = Field(2, ge=2, description="Bodies that are trained to choose by, each without a part of the rows.")
    keep: Literal["won", "always"] = Field(
        "won", description="won: only where held-out rows gain more than a standard error; or always."
    )

    @property
    def rate(self) -> float:
        """The learning rate."""
        return RATES[self.body] if self.lr is None else self.lr

    def apply(self, backbone: Backbone) -> Backbone:
        """The same backbone with an adapter, or with its own weights learning.

        Raises:
            ModelError: the body is laid out like no known family, has fewer layers, or is adapted already.
        """
        from nlptl.tune._rates import let_learn
        from nlptl.tune.lora import Lora

        if self.body == "lora":
            return Lora(rank=self.rank, layers=self.layers, targets="all").apply(backbone)
        layers = None if self.layers == "all" else self.layers
        return let_learn(backbone, lr=self.rate, layers=layers, embeddings=False)
