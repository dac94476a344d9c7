"""Task-adaptive pretraining: the encoder reads the target's texts, guessing masked words, before or while it learns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nlptl.contracts.adapt import Before, Context


class Tapt(Before):
    """Masked-language modelling on the target's unlabelled texts (Gururangan et al. 2020, arXiv 2004.10964).

    ``before``: what in the body is to learn learns to guess masked words first; heads are then solved on the vectors
    that it gives, and taught from there. ``joint``: beside the labels (UDALM, Karouzos et al. 2021, arXiv 2104.07078):
    λ CE + (1 − λ) MLM with λ = n / (n + m) for n labelled rows and m of the target in a step; divided by λ here, so
    that the labels' loss counts 1 and this one m / n. ``both``: one after the other, as UDALM does. Needs a body that
    learns, and few texts gain little.
    """

    kind: Literal["tapt"] = "tapt"
    when: Literal["before", "joint", "both"] = Field("before", description="Before the labels, beside them, or both.")
    mask: float = Field(0.15, gt=0, lt=1, description="Share of the tokens to be guessed, drawn anew at each step.")
    epochs: int = Field(10, gt=0, description="Of before: over the target's texts.")
    max_steps: int | None = Field(None, gt=0, description="Of before: stop after so many steps.")
    lr: float = Field(5e-4, gt=0, description="Of before: the peak learning rate of adapters and of the head.")
    weight: float = Field(1.0, ge=0, description="Of joint: what the term is multiplied by, beside m / n.")

    @property
    def comes_first(self) -> bool:
        """Whether the encoder learns before the heads are solved."""
        return self.when != "joint"

    @property
    def joins(self) -> bool:
        """Whether it is a term of the loss."""
        return self.when != "before"

    def before(self, context: Context) -> str:
        """Guess masked words of the target's texts; the words say how well, first and last, and of what head."""
        from nlptl.encoder.masked_head import masked_head

        head = masked_head(context.backbone)
        beside = "tapt beside the labels" if self.joins else ""
        if not self.comes_first:
            return f"{beside}; {whose(head.fresh)}"
        losses = context.guess(head, rate=self.mask, epochs=self.epochs, max_steps=self.max_steps, lr=self.lr)
        tenth = max(1, len(losses) // 10)
        first, last = (sum(part) / len(part) for part in (losses[:tenth], losses[-tenth:]))
        done = f"tapt: {context.texts} texts, {len(losses)} steps, loss {first:.2f} → {last:.2f} nats"
        return "; ".join(filter(None, [done, beside, whose(head.fresh)]))


def whose(fresh: bool) -> str:
    """Whether the guesses come from the checkpoint's own head, in words."""
    return "masked-LM head is fresh" if fresh else "masked-LM head is the checkpoint's"
