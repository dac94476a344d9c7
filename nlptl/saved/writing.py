"""A model, from memory into its folder."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from nlptl.saved.anomaly import described_gauges, save_gauges
from nlptl.saved.parts import described_tasks
from nlptl.transfer.taught import save_taught
from nlptl.tune._adapter import save_adapter

if TYPE_CHECKING:
    from nlptl.saved import Model

FORMAT = 1


def write_model(model: Model, folder: Path) -> None:
    """Write everything but the encoder's own weights to ``folder``, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    backbone = model.network.backbone
    model.save_heads(folder)
    if model.words is not None:
        model.words.lexical.save(folder / "lexical.json")
    adapted = hasattr(backbone.body, "peft_config")
    if adapted:
        save_adapter(backbone.body, folder / "adapter", backbone.base_name)
    if backbone.rates:
        body = {name: p.detach().cpu().contiguous() for name, p in backbone.body.named_parameters()}
        save_file({name: body[name] for name in sorted(backbone.rates)}, folder / "body.safetensors")
    if backbone.inherited is not None:
        backbone.inherited.save(folder)
    if model.shelf is not None:
        model.shelf.copy(folder / "adapters")
    save_gauges(model.gauges, folder)
    if model.taught is not None:
        save_taught(folder, model.taught)
    described = {
        "format": FORMAT,
        "encoder": backbone.settings.model_dump(mode="json"),
        "base": backbone.base_identity,
        "parents": None if backbone.inherited is None else list(backbone.inherited.parents),
        "pooling": backbone.pooling,
        "precision": str(backbone.dtype).removeprefix("torch."),
        "adapter": adapted,
        "tuned": bool(backbone.rates),
        "slots": None if model.shelf is None else model.shelf.bank.slots,
        "columns": model.columns,
        "calibrations": {name: asdict(one) for name, one in model.calibrations.items()},
        "anomaly": described_gauges(model.gauges),
        "tasks": described_tasks(model.network),
    }
    (folder / "model.json").write_text(json.dumps(described, indent=2, ensure_ascii=False), encoding="utf-8")


def save_whole(tensors: Mapping[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file whole or not at all, whoever else writes it."""
    partial = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata=metadata)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
