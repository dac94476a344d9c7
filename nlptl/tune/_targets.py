"""Which matrices of a body are its attention and which its feed-forward part, told by the shape of its module tree."""

import re
from dataclasses import dataclass
from typing import Literal

from torch import nn

from nlptl.errors import ModelError


@dataclass(frozen=True)
class Layout:
    """Where a family keeps the matrices of a layer.

    ``stack`` matches the path of the layers up to a layer's number; the names are relative to a layer.
    """

    stack: str
    attention: tuple[str, ...]
    mlp: tuple[str, ...]
    shared: bool = False  # one set of weights serves every layer

    def names(self, targets: Literal["attention", "mlp", "all"]) -> tuple[str, ...]:
        """The names of a layer's matrices that ``targets`` stands for."""
        return {"attention": self.attention, "mlp": self.mlp, "all": self.attention + self.mlp}[targets]


_BERT_MLP = ("intermediate.dense", "output.dense")

LAYOUTS = {
    "bert": Layout(
        # and roberta, xlm-roberta, camembert, electra, …
        stack=r"encoder\.layer",
        attention=("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
        mlp=_BERT_MLP,
    ),
    "deberta-v2": Layout(
        # and deberta-v3, which is of the same type
        stack=r"encoder\.layer",
        attention=(
            "attention.self.query_proj",
            "attention.self.key_proj",
            "attention.self.value_proj",
            "attention.output.dense",
        ),
        mlp=_BERT_MLP,
    ),
    "mpnet": Layout(
        stack=r"encoder\.layer",
        attention=("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"),
        mlp=_BERT_MLP,
    ),
    "distilbert": Layout(
        stack=r"transformer\.layer",
        attention=("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
        mlp=("ffn.lin1", "ffn.lin2"),
    ),
    "albert": Layout(
        stack=r"encoder\.albert_layer_groups\.\d+\.albert_layers",
        attention=("attention.query", "attention.key", "attention.value", "attention.dense"),
        mlp=("ffn", "ffn_output"),
        shared=True,
    ),
    "modernbert": Layout(stack=r"layers", attention=("attn.Wqkv", "attn.Wo"), mlp=("mlp.Wi", "mlp.Wo")),
}
"""Families by the first type that had the layout. Poolers and embedding projections are in none of them."""


def target_pattern(
    body: nn.Module, targets: Literal["attention", "mlp", "all"], layers: Literal["all"] | int | tuple[int, ...] = "all"
) -> str:
    """A regular expression that matches in full the paths of the matrices to adapt, as PEFT's ``target_modules``.

    A pattern rather than a list of names: it is exact (a list matches any path's end, poolers too), short in the saved
    file, and the same in every process (PEFT keeps lists as sets).

    Raises:
        ModelError: no layout fits the body, or it has no such layer.
    """
    linear = _linear(body)
    layout = _layout(body, linear)
    names = "|".join(map(re.escape, layout.names(targets)))
    return rf"{layout.stack}\.{_numbers(layout, linear, layers)}\.({names})"


def layer_of_parameters(body: nn.Module) -> dict[str, int]:
    """The layer of each parameter by name: 0 the embeddings and what all layers share, 1 the lowest layer; what
    follows the top layer belongs to it. All of a body whose layers share their weights is one layer.

    Raises:
        ModelError: no layout fits the body.
    """
    layout = _layout(body, _linear(body))
    found: dict[str, int] = {}
    for name, _ in body.named_parameters():
        match = re.match(rf"{layout.stack}\.(\d+)\.", name)
        if match:
            found[name] = int(match[1]) + 1
        elif re.search("embed", name) or name.startswith("encoder."):
            found[name] = 0
    top = max(found.values())
    return {name: found.get(name, top) for name, _ in body.named_parameters()}


def shares_layers(body: nn.Module) -> bool:
    """Whether one set of weights serves every layer.

    Raises:
        ModelError: no layout fits the body.
    """
    return _layout(body, _linear(body)).shared


def _linear(body: nn.Module) -> list[str]:
    """The paths of the linear layers."""
    return [path for path, module in body.named_modules() if isinstance(module, nn.Linear)]


def _layout(body: nn.Module, linear: list[str]) -> Layout:
    for layout in LAYOUTS.values():
        wanted = (rf"{layout.stack}\.\d+\.{re.escape(name)}" for name in layout.names("all"))
        if all(any(re.fullmatch(pattern, path) for path in linear) for pattern in wanted):
            return layout
    found = dict.fromkeys(re.sub(r"\d+", "*", path) for path in linear)
    raise ModelError(
        f"{type(body).__name__} is laid out like none of {', '.join(LAYOUTS)}, so its layers cannot be told "
        f"apart; its linear layers are {', '.join(found) or 'none'}. Choose another encoder or tune: "
        "{kind: frozen}."
    )


def _numbers(layout: Layout, linear: list[str], layers: Literal["all"] | int | tuple[int, ...]) -> str:
    """The part of the pattern that matches the numbers of the chosen layers."""
    if layers == "all":
        return r"\d+"
    if layout.shared:
        raise ModelError(
            f"tune.layers is {layers}, but all layers of this encoder share their weights: leave it at all."
        )
    matches = (re.match(rf"{layout.stack}\.(\d+)\.", path) for path in linear)
    depth = 1 + max(int(match[1]) for match in matches if match)
    chosen = range(depth - layers, depth) if isinstance(layers, int) else sorted(set(layers))
    if chosen[0] < 0 or chosen[-1] >= depth:
        raise ModelError(f"tune.layers is {layers}, but the encoder has {depth} layers, numbered 0 to {depth - 1}.")
    return f"({'|'.join(map(str, chosen))})"
