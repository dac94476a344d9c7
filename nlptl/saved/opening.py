"""A saved model, from its folder into memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from nlptl.encoder.backbone import Backbone
from nlptl.errors import ModelError
from nlptl.evaluate.calibrate import Calibration
from nlptl.model import Network, TaskHead
from nlptl.recipe import Encoder
from nlptl.saved import Model
from nlptl.saved.anomaly import open_gauges
from nlptl.saved.bank import open_shelf
from nlptl.saved.domains import unpack
from nlptl.saved.export import beside, load_export
from nlptl.saved.parts import load_base, put_tuned, saved_tasks, under
from nlptl.saved.texts import found_again
from nlptl.saved.words import Words
from nlptl.transfer.taught import load_taught
from nlptl.tune._adapter import load_adapter

_OF_ENCODER = ("encoder", "base", "parents", "pooling", "precision", "adapter", "tuned")
_ENCODER_FILES = ("adapter/*", "body.safetensors", "inherited.safetensors")


def open_model(folder: Path, *, device: torch.device | str | None = None, backbone: Backbone | None = None) -> Model:
    """The model in ``folder``.

    Args:
        device: where it computes; none: on a CUDA card where there is one, else on the processor.
        backbone: its encoder, where a model of the same ``encoder_key`` is in memory already.

    Raises:
        ModelError: something is absent or damaged, or the encoder is not the one it was trained with.
    """
    described = read_described(folder)
    try:
        if "export" in described:
            return load_export(described["export"], folder)
        tensors = load_file(folder / "heads.safetensors")
        with safe_open(folder / "heads.safetensors", "pt") as opened:
            domain_heads = unpack(tensors, opened.metadata())
        settings, tasks = beside(folder, Encoder.model_validate(described["encoder"])), saved_tasks(described["tasks"])
        calibrations = {name: Calibration(**one) for name, one in described.get("calibrations", {}).items()}
        gauges = open_gauges(described.get("anomaly", {}), folder)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, ValidationError) as error:
        raise damaged(folder, error) from error
    backbone = backbone or _backbone(settings, described, folder)
    heads = {
        name: TaskHead.fresh(task, described["tasks"][name]["reading"], backbone.width) for name, task in tasks.items()
    }
    network = Network(backbone, heads)
    network.heads.load_state_dict(under("heads/", tensors))
    device = str(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network.text_scores = found_again(network, described["tasks"], device)
    shelf = open_shelf(network, folder / "adapters", described["slots"]) if described["slots"] else None
    words = Words.load(folder / "lexical.json", under("words/", tensors))
    model = Model(network.to(device), words, described["columns"], shelf, domain_heads, calibrations, gauges)
    model.taught = load_taught(folder)
    return model


def read_described(folder: Path) -> dict[str, Any]:
    """What ``model.json`` in ``folder`` says, or ModelError."""
    try:
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(folder, error) from error
    assert isinstance(described, dict)
    return described


def damaged(folder: Path, error: Exception) -> ModelError:
    """The error for a model folder that is not whole."""
    return ModelError(f"the model in {folder} is damaged ({error}); save it again.")


def encoder_key(folder: Path, described: Mapping[str, Any]) -> str:
    """Equal for models whose encoders are the same to the bit, learned weights included; of a model whose encoder holds
    domains' or tasks' adapters, its own."""
    if described["slots"]:
        return str(folder)
    digest = hashlib.sha256(json.dumps([described.get(name) for name in _OF_ENCODER], sort_keys=True).encode())
    for file in sorted(file for pattern in _ENCODER_FILES for file in folder.glob(pattern)):
        digest.update(f"{file.relative_to(folder)}:{file.stat().st_size}:".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _backbone(settings: Encoder, described: Mapping[str, Any], folder: Path) -> Backbone:
    """The encoder that the model in ``folder`` names, with what was learned in it."""
    backbone = load_base(settings, described, folder)
    if described["adapter"]:
        backbone.body = load_adapter(backbone.body, folder / "adapter")
    if described["tuned"]:
        put_tuned(backbone, folder / "body.safetensors")
    return backbone.freeze(described["precision"])
