"""What a comparison with training from scratch asks of the heads: rules as in ``recipe.rules``."""

from __future__ import annotations

from typing import Any

from nlptl.recipe.rules_labels import Problems


def scratch_has_trained_heads(heads: Any, evaluate: Any) -> Problems:
    """Whether every head can be learned together with an encoder of random weights."""
    for task, head in heads.items():
        if evaluate.scratch and head.closed_form and head.kind != "linear":
            yield (
                ("evaluate", "scratch"),
                f"trains heads from random weights, and heads.{task} is of kind {head.kind}, which is not trained. Set "
                "it to linear or mlp, or evaluate.scratch: false.",
            )
