"""Which pretrained weights learn, at what share of the learning rate and from when on, by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlptl.contracts import Rate
from nlptl.errors import ModelError

if TYPE_CHECKING:
    from nlptl.encoder.backbone import Backbone


def let_learn(
    backbone: Backbone,
    *,
    lr: float,
    layers: int | None = None,
    embeddings: bool = True,
    decay: float = 1.0,
    until: float = 0.0,
) -> Backbone:
    """The same backbone with ``rates`` for the weights of its top layers, all others frozen.

    Args:
        lr: peak learning rate of the top layer.
        layers: how many top layers learn; none: all.
        embeddings: whether, where all layers learn, the embeddings do too.
        decay: the learning rate of a layer is that of the one above it times this.
        until: in [0, 1] of the run; layers begin to learn one after another from the top, the last at this point.

    Raises:
        ModelError: the body is laid out like no known family, has fewer layers, or is adapted already.
    """
    from nlptl.tune._targets import layer_of_parameters

    if hasattr(backbone.body, "peft_config") or backbone.rates:
        raise ModelError("something in this encoder learns already; load the encoder again to tune it otherwise.")
    layer_of = layer_of_parameters(backbone.body)
    top = max(layer_of.values())
    if layers is not None and layers > top:
        raise ModelError(
            f"tune.layers is {layers}, but {type(backbone.body).__name__} has {top} layers of their own weights; set "
            f"it to at most {top}."
        )
    lowest = (0 if embeddings else 1) if layers is None else top - layers + 1
    backbone.rates = {
        name: rate(top - layer, lr=lr, learning=top - lowest + 1, decay=decay, until=until)
        for name, layer in layer_of.items()
        if layer >= lowest
    }
    for name, parameter in backbone.body.named_parameters():
        parameter.requires_grad_(name in backbone.rates)
    return backbone


def rate(below: int, *, lr: float, learning: int, decay: float, until: float) -> Rate:
    """How the layer that is ``below`` the top by so many learns, where ``learning`` layers do.

    Its learning rate is ``lr · decay ** below`` (Howard & Ruder 2018, arXiv 1801.06146, §3.2: η / 2.6), and it
    begins at ``until · below / (learning − 1)`` of the run (§3.3: one more layer at a time).
    """
    return Rate(lr=lr * decay**below, start=until * below / max(learning - 1, 1))
