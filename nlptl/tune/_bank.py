"""Many LoRA adapters stacked as tensors, so that rows of many domains share a batch, each through its own adapter.

The product is gathered: each row takes its own two factors, and one batched product serves all rows. Looping over the
domains of a batch, as PEFT's ``adapter_names`` does, was measured beside it and was slower from two domains on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nlptl.errors import ModelError

if TYPE_CHECKING:
    from peft import LoraConfig

    from nlptl.encoder._packed import Packing

PREFIX = "base_model.model."
"""What PEFT writes before the path of a matrix."""


def low_rank(x: Tensor, a: Tensor, b: Tensor, slots: Tensor, scale: float) -> Tensor:
    """``scale · B A x`` of LoRA (Hu et al. 2021, arXiv 2106.09685, eq. 3), each row by its own A and B.

    (rows, tokens, inputs), (slots, rank, inputs), (slots, outputs, rank), (rows,) → (rows, tokens, outputs). The
    factors are cast to the type of ``x`` after they are gathered, so that the gradients of a slot's rows add up in the
    factors' own type.
    """
    a, b = a[slots].to(x.dtype), b[slots].to(x.dtype)
    return torch.bmm(torch.bmm(x, a.mT) * scale, b.mT)


def own_linear(x: Tensor, weight: Tensor, bias: Tensor, slots: Tensor) -> Tensor:
    """(rows, width), (slots, outputs, width), (slots, outputs), (rows,) → (rows, outputs), each row by its own map."""
    return torch.einsum("rw,row->ro", x, weight[slots]) + bias[slots]


@dataclass
class Route:
    """The slot of each row of the batch at hand, and of each of its sequences (a long text may have several)."""

    rows: Tensor | None = None
    sequences: Tensor | None = None

    @contextmanager
    def taken(self, rows: Tensor, owners: Tensor) -> Iterator[None]:
        """While it lasts, rows go through the slots ``rows``; sequence s is of row ``owners[s]``."""
        self.rows, self.sequences = rows, rows[owners]
        try:
            yield
        finally:
            self.rows = self.sequences = None


class BankLinear(nn.Module):
    """A frozen linear map with one low-rank difference a slot beside it."""

    by_row = True
    packing: Packing | None = None
    """Where rows stand in ``x`` if they lie end to end; the encoder, which looks for ``by_row``, tells it."""

    def __init__(self, base: nn.Linear, slots: int, config: LoraConfig, route: Route) -> None:
        super().__init__()
        self.base, self.route, self.dropout = base, route, float(config.lora_dropout)
        divisor = math.sqrt(config.r) if config.use_rslora else config.r
        self.scale = float(config.lora_alpha / divisor)
        device = base.weight.device
        self.lora_A = nn.Parameter(torch.zeros(slots, config.r, base.in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(slots, base.out_features, config.r, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """(sequences, tokens, inputs) → (sequences, tokens, outputs)."""
        slots, packing = self.route.sequences, self.packing
        if slots is None:
            raise RuntimeError("the bank does not know which slots the batch goes through: route it first")
        rows = nn.functional.dropout(x, self.dropout, self.training)
        if packing is not None:
            rows = packing.spread(rows[0])
        if len(slots) != len(rows):
            raise ModelError(
                "this encoder's attention sends more than the batch's texts through an adapted matrix (deberta's "
                "relative positions), so rows cannot have adapters of their own; choose another encoder, or "
                "tune.targets: mlp."
            )
        low = low_rank(rows, self.lora_A, self.lora_B, slots, self.scale)
        added: Tensor = self.base(x) + (low if packing is None else packing.pack(low))
        return added


class OwnLinear(nn.Module):
    """A linear head with weights of its own for each slot."""

    def __init__(self, start: nn.Linear, slots: int, route: Route) -> None:
        super().__init__()
        self.route = route
        self.weight = nn.Parameter(start.weight.detach()[None].repeat(slots, 1, 1))
        self.bias = nn.Parameter(start.bias.detach()[None].repeat(slots, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, width) → (rows, outputs)."""
        assert self.route.rows is not None
        return own_linear(x, self.weight, self.bias, self.route.rows)


class Bank:
    """The stacked adapters of a body, and the heads that are stacked beside them.

    Slot 0 is nobody's: its adapter is zero, its heads are the shared ones, and it serves domains without an adapter.
    """

    linear = BankLinear

    def __init__(self, body: nn.Module, config: LoraConfig, slots: int) -> None:
        """Put ``slots`` adapters (slot 0 included), all of them zero, beside the matrices of ``body`` that ``config``
        names; everything else in ``body`` is frozen."""
        self.config, self.route, self.slots = config, Route(), slots
        self.heads: dict[str, OwnLinear] = {}
        body.requires_grad_(False)
        self.layers = {
            path: self.linear(module, slots, config, self.route)
            for path, module in list(body.named_modules())
            if isinstance(module, nn.Linear) and re.fullmatch(str(config.target_modules), path)
        }
        for path, layer in self.layers.items():
            parent, _, name = path.rpartition(".")
            setattr(body.get_submodule(parent), name, layer)

    def own_head(self, task: str, start: nn.Linear) -> OwnLinear:
        """Heads of ``task``, one a slot, that start as ``start``."""
        self.heads[task] = OwnLinear(start, self.slots, self.route).to(start.weight.device)
        return self.heads[task]

    @torch.no_grad()
    def draw(self, slot: int, generator: torch.Generator) -> None:
        """Start a slot anew: A drawn from ``generator`` as PEFT draws it, B zero, the heads those of slot 0."""
        for layer in self.layers.values():
            fresh = torch.empty(layer.lora_A.shape[1:])
            nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
            layer.lora_A[slot] = fresh
            layer.lora_B[slot] = 0
        for head in self.heads.values():
            head.weight[slot], head.bias[slot] = head.weight[0], head.bias[0]

    @torch.no_grad()
    def start_head(self, slot: int, task: str, weight: Tensor, bias: Tensor) -> None:
        """Give a slot's head of ``task`` the (outputs, width) ``weight`` and (outputs,) ``bias``."""
        self.heads[task].weight[slot], self.heads[task].bias[slot] = weight, bias

    def adapter(self, slot: int) -> dict[str, Tensor]:
        """A slot's adapter, named as PEFT names it in its files."""
        state = {}
        for path, layer in self.layers.items():
            state[f"{PREFIX}{path}.lora_A.weight"] = layer.lora_A[slot]
            state[f"{PREFIX}{path}.lora_B.weight"] = layer.lora_B[slot]
        return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}

    def head_state(self, slot: int) -> dict[str, Tensor]:
        """A slot's heads: ``<task>.weight`` and ``<task>.bias``."""
        return {
            f"{task}.{name}": getattr(head, name)[slot].detach().cpu().clone()
            for task, head in self.heads.items()
            for name in ("weight", "bias")
        }

    @torch.no_grad()
    def put(self, slot: int, adapter: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> None:
        """Fill a slot with what ``adapter`` and ``head_state`` gave.

        Raises:
            ModelError: a tensor is missing, unknown or of another shape.
        """
        places: dict[str, Tensor] = {}
        for path, layer in self.layers.items():
            places[f"{PREFIX}{path}.lora_A.weight"] = layer.lora_A
            places[f"{PREFIX}{path}.lora_B.weight"] = layer.lora_B
        places |= {
            f"{task}.{name}": getattr(head, name) for task, head in self.heads.items() for name in ("weight", "bias")
        }
        given = {**adapter, **heads}
        wrong = given.keys() ^ places.keys()
        wrong |= {name for name in given.keys() & places.keys() if given[name].shape != places[name].shape[1:]}
        if wrong:
            raise ModelError(
                f"an adapter does not fit this encoder's bank: {len(wrong)} weights are missing, unknown or of another "
                f"shape, such as {min(wrong)}; save the model again."
            )
        for name, place in places.items():
            place[slot] = given[name]
