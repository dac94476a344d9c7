"""The cheapest way to tune that wins on validation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nlptl.contracts import Tune


class Auto(Tune):
    """From the frozen body up: a dearer rung takes over where its validation loss is clearly lower, or the climb ends.

    A rung wins where the mean over validation rows of the loss that it saves is above that mean's standard error. The
    rows are the official validation split, or the share that ``train.validation`` holds back.
    """

    kind: Literal["auto"] = "auto"
    rungs: tuple[Literal["contrastive", "lora", "top_layers", "gradual", "full"], ...] = Field(
        ("lora", "full"), min_length=1, description="What is tried above the frozen body, from cheap to dear."
    )
