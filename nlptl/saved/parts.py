"""Finding a saved model and putting its parts in their places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nlptl.contracts import Head, Rate, Task
from nlptl.encoder._inherited import Inherited
from nlptl.encoder.backbone import Backbone
from nlptl.errors import ModelError
from nlptl.model import Network
from nlptl.recipe import Encoder
from nlptl.registry import find
from nlptl.saved.texts import named

TAKE = Encoder().take
"""Of an earlier run, where the recipe does not say."""
TARGETS = "targets.json"
"""Beside the models of targets, each in a folder: whose is which (``nlptl.saved.targets``)."""


def load_base(settings: Encoder, described: Mapping[str, Any], folder: Path) -> Backbone:
    """The encoder that the model in ``folder`` began from: the one it names, with what that had from earlier runs.

    Raises:
        ModelError: its weights are not those that the model was trained on.
    """
    backbone = Backbone.load(settings.model_copy(update={"take": TAKE}))
    if described.get("parents"):
        backbone.inherit(Inherited.load(folder, described["parents"]))
    if backbone.base_identity != described["base"]:
        raise ModelError(
            f"the model in {folder} was trained on other weights of {backbone.located.name} than those found here; "
            "its answers would be wrong. Get the encoder that it names, or train again."
        )
    return backbone


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


def described_tasks(network: Network) -> dict[str, dict[str, Any]]:
    """By task, what ``model.json`` says of its head."""
    return {
        name: {
            "head": head.task.head.model_dump(mode="json"),
            "labels": list(head.task.labels),
            "reading": head.reading,
            "texts": named(network, name),
        }
        for name, head in network.task_heads.items()
    }


def saved_tasks(described: Mapping[str, Mapping[str, Any]]) -> dict[str, Task]:
    """The tasks that ``described_tasks`` told of."""
    return {name: Task(name, _head(of["head"]), tuple(of["labels"])) for name, of in described.items()}


def _head(described: dict[str, Any]) -> Head:
    head = find("heads", described["kind"]).model_validate(described)
    assert isinstance(head, Head)
    return head


def under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names start with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def targets_folder(path: Path) -> Path | None:
    """The folder of one model a target in ``path``, a run or such a folder itself; None where there is none."""
    return next((folder for folder in (path, path / "model") if (folder / TARGETS).is_file()), None)


def model_folder(path: Path) -> Path:
    """The folder of the one model in ``path``.

    Raises:
        ModelError: there is none, or there are several.
    """
    for folder in (path, path / "model"):
        if (folder / "model.json").is_file():
            return folder
    inside = sorted(found.parent for folder in (path, path / "model") for found in folder.glob("*/model.json"))
    names = ", ".join(found.name for found in inside)
    several = f"; it holds one model a target: {names} (name one of them: {inside[0]})" if inside else ""
    raise ModelError(f"no model in {path.resolve()}: model.json is absent{several}.")
