"""What the frozen lower layers say of a text: computed once, kept, and given to the layers that learn.

Nothing below the lowest layer that learns changes in training, and dropout is off there (``Backbone.train``), so the
output of those layers is the same in every epoch. Kept without padding, in the precision of the body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nlptl.contracts import Ints
from nlptl.encoder._kernels import attention
from nlptl.encoder.tokens import Tokens, token_batches

if TYPE_CHECKING:
    from nlptl.encoder.backbone import Backbone

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert")
"""Types of bodies that are a stack of layers right above their embeddings, each from hidden states to hidden states."""


@dataclass(frozen=True, eq=False)
class LowerBatch:
    """What the lowest ``layers`` layers said of a batch's sequences: ``hidden`` (sequences, tokens, width), and where
    inner layers are read ``pooled`` (layers, sequences, width), of the embeddings and of each layer but the last."""

    layers: int
    hidden: Tensor
    pooled: Tensor | None

    def taken(self, sequences: Tensor) -> LowerBatch:
        """Of some of the sequences."""
        pooled = None if self.pooled is None else self.pooled[:, sequences]
        return LowerBatch(self.layers, self.hidden[sequences], pooled)


@dataclass(frozen=True, eq=False)
class Lower:
    """What the lowest ``layers`` layers say of all sequences of a ``Tokens``.

    Attributes:
        hidden: (tokens of all sequences, width) of the topmost of them.
        pooled: (layers, sequences, width) as in ``LowerBatch``, or None.
    """

    layers: int
    hidden: Tensor
    pooled: Tensor | None

    def batch(self, sequences: Ints, taken: Ints, filled: npt.NDArray[np.bool_], device: Any) -> LowerBatch:
        """Of ``sequences``, whose tokens are at ``taken`` and go where ``filled`` (sequences, tokens) says; padding is
        0, which no token that counts looks at."""
        hidden = self.hidden.new_zeros(*filled.shape, self.hidden.shape[1])
        hidden[torch.from_numpy(filled)] = self.hidden[torch.from_numpy(taken)]
        pooled = None if self.pooled is None else self.pooled[:, torch.from_numpy(sequences)].to(device)
        return LowerBatch(self.layers, hidden.to(device), pooled)

    @property
    def bytes(self) -> int:
        """Of memory that this takes."""
        return sum(part.numel() * part.element_size() for part in (self.hidden, self.pooled) if part is not None)


def frozen_layers(body: nn.Module) -> int:
    """How many of the lowest layers, embeddings included, hold nothing that learns.

    0 where the lowest layer learns (under ``gradual`` it does in its time), where nothing learns, and for families
    whose layers cannot be run apart.
    """
    config: Any = body.config
    if config.model_type not in FAMILIES:
        return 0
    path, embeddings = _stack(body)
    learning = [name for name, parameter in body.named_parameters() if parameter.requires_grad]
    if not learning or any(name.startswith(f"{embeddings}.") for name in learning):
        return 0
    inside = (re.match(rf"{re.escape(path)}\.(\d+)\.", name) for name in learning)  # a pooler is above all of them
    return min((int(match[1]) for match in inside if match), default=len(_layers(body)))


def frozen_modules(body: nn.Module) -> list[nn.Module]:
    """The embeddings and the layers of which ``frozen_layers`` is the number; none where that is 0."""
    layers = frozen_layers(body)
    return [_embeddings(body), *_layers(body)[:layers]] if layers else []


def size_of(backbone: Backbone, tokens: Tokens, readings: Sequence[str]) -> int:
    """Bytes that ``with_lower`` will keep of ``tokens``."""
    inner = frozen_layers(backbone.body) * (len(tokens.offsets) - 1) * 4 if _inner(readings) else 0
    return backbone.width * (len(tokens.ids) * backbone.dtype.itemsize + inner)


@torch.no_grad()
def with_lower(backbone: Backbone, tokens: Tokens, readings: Sequence[str]) -> Tokens:
    """``tokens`` with what the frozen lower layers of ``backbone`` say of them, by one pass through these alone.

    Args:
        readings: what will be read of the encoder.
    """
    layers, device = frozen_layers(backbone.body), next(backbone.parameters()).device
    backbone.eval()
    hidden: Tensor | None = None
    pooled = torch.zeros(layers, len(tokens.offsets) - 1, backbone.width) if _inner(readings) else None
    for rows in token_batches(tokens.row_lengths, backbone.batch_tokens):
        batch = tokens.batch(rows, device)
        # By the kernels of training, so that the numbers are the same up to the order of sums.
        with attention(True, device), _only_lowest(backbone.body, layers):
            output = backbone.body(**batch.given(), output_hidden_states=pooled is not None)
        sequences, taken = tokens.places(rows)
        top = output.last_hidden_state
        if hidden is None:
            hidden = torch.empty(len(tokens.ids), backbone.width, dtype=top.dtype)
        hidden[torch.from_numpy(taken)] = top[batch.attention_mask.bool()].cpu()
        for place in range(layers if pooled is not None else 0):
            assert pooled is not None
            vectors = backbone.pool(output.hidden_states[place], batch.attention_mask)
            pooled[place, torch.from_numpy(sequences)] = vectors.cpu()
    assert hidden is not None
    return replace(tokens, lower=Lower(layers, hidden, pooled))


def _inner(readings: Sequence[str]) -> bool:
    return any(reading.startswith("layer") for reading in readings)


@contextmanager
def resumed(body: nn.Module, lower: LowerBatch | None) -> Iterator[None]:
    """While it lasts, ``body`` goes on from ``lower``: its embeddings give the hidden states, its lowest layers pass
    them on. The body's own code runs all the rest, attention masks included."""
    with ExitStack() as stack:
        if lower is not None:
            stack.enter_context(_instead(_embeddings(body), lambda *_, **__: lower.hidden))
            for layer in _layers(body)[: lower.layers]:
                stack.enter_context(_instead(layer, _pass_on))
        yield


@contextmanager
def _only_lowest(body: nn.Module, layers: int) -> Iterator[None]:
    """While it lasts, the layers of ``body`` above the lowest ``layers`` pass on what they get."""
    with ExitStack() as stack:
        for layer in _layers(body)[layers:]:
            stack.enter_context(_instead(layer, _pass_on))
        yield


def _pass_on(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
    return hidden


@contextmanager
def _instead(module: nn.Module, forward: Any) -> Iterator[None]:
    """While it lasts, ``module`` computes ``forward``; its parameters and hooks stay."""
    vars(module)["forward"] = forward
    try:
        yield
    finally:
        del vars(module)["forward"]


def _stack(body: nn.Module) -> tuple[str, str]:
    """The paths of the layers and of the embeddings, below whatever PEFT put around the body."""
    path = next(name for name, _ in body.named_modules() if re.search(r"(^|\.)(encoder|transformer)\.layer$", name))
    return path, re.sub(r"(encoder|transformer)\.layer$", "embeddings", path)


def _layers(body: nn.Module) -> list[nn.Module]:
    return list(body.get_submodule(_stack(body)[0]).children())


def _embeddings(body: nn.Module) -> nn.Module:
    return body.get_submodule(_stack(body)[1])
