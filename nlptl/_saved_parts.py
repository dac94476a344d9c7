"""Finding a saved model and putting its parts in their places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nlptl.contracts import Head, Rate
from nlptl.encoder.backbone import Backbone
from nlptl.errors import ModelError
from nlptl.registry import find


def put_tuned(backbone: Backbone, path: Path) -> None:
    """Put the pretrained weights that learned in their places."""
    parameters = dict(backbone.body.named_parameters())
    try:
        learned = load_file(path)
        with torch.no_grad():
            for name, tensor in learned.items():
                parameters[name].copy_(tensor)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise ModelError(f"{path} is damaged or of another encoder ({error}); save the model again.") from error
    backbone.rates = dict.fromkeys(learned, Rate(lr=0.0))


def head_settings(described: dict[str, Any]) -> Head:
    """A task's head, as ``model.json`` describes it."""
    head = find("heads", described["kind"]).model_validate(described)
    assert isinstance(head, Head)
    return head


def under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names start with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def model_folder(path: Path) -> Path:
    """The folder of the one model in ``path``.

    Raises:
        ModelError: there is none, or there are several.
    """
    for folder in (path, path / "model"):
        if (folder / "model.json").is_file():
            return folder
    inside = sorted(found.parent.name for found in (path / "model").glob("*/model.json"))
    several = (
        f"; it holds one model a target: {', '.join(inside)} (load {path / 'model' / inside[0]})" if inside else ""
    )
    raise ModelError(f"no model in {path.resolve()}: model.json is absent{several}.")
