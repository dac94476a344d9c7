"""Going on from an earlier run: its body, its adapter merged into it, and its heads.

Intermediate-task transfer (Phang, Févry & Bowman 2018, "Sentence Encoders on STILTs", arXiv 1811.01088): train on one
task, then on another. What is taken becomes weights of the encoder itself, in float32, so that a new adapter may be put
on and the store's key differs. The new model keeps those weights (``inherited.safetensors``) and needs the earlier run
no more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from nlptl.contracts import Task
from nlptl.encoder._inherited import Inherited
from nlptl.encoder.backbone import Backbone
from nlptl.errors import ModelError, RecipeError
from nlptl.heads._solved import LinearWeights
from nlptl.recipe import Encoder
from nlptl.saved.export import beside
from nlptl.saved.parts import TAKE, load_base, model_folder, put_tuned, saved_tasks, under
from nlptl.tune._adapter import load_adapter

_LOCKED = ("data", "encoder", "seed")
"""What a child's lock repeats of its parent's."""


def load_backbone(settings: Encoder, *, device: torch.device | str = "cpu") -> Backbone:
    """The encoder that ``settings`` names; of a run or model folder, its encoder with what ``settings.take`` says.

    Raises:
        ModelError: it is not there, cannot be read, or has not what is to be taken.
    """
    if not is_run(settings.model):
        if (Path(settings.model) / "recipe.yaml").is_file():
            raise ModelError(f"the run in {settings.model} has left no model yet; let it end (nlptl run … --resume).")
        if settings.take != TAKE:
            raise ModelError(
                f"encoder.take is {list(settings.take)}, and encoder.model {settings.model!r} is no run or model "
                "folder to take it from; name one, or leave take out."
            )
        return Backbone.load(settings, device=device)
    folder = model_folder(Path(settings.model))
    described, theirs = _read(folder)
    root = {"model": theirs.model, "revision": theirs.revision, "take": TAKE}
    own = settings.model_copy(update={**root, "prompt": theirs.prompt if settings.prompt is None else settings.prompt})
    _check(settings, described, folder)
    plain, base = Backbone.load(own), load_base(theirs, described, folder)
    before, learned = _weights(plain), _learned(base, settings, described, folder)
    weights = {name: tensor for name, tensor in learned.items() if not torch.equal(tensor, before[name])}
    parent = _record(settings, described, folder, weights)
    return plain.inherit(Inherited(weights, (parent,))).eval().to(device)


def is_run(model: str) -> bool:
    """Whether ``encoder.model`` is a folder with a trained model, rather than an encoder."""
    path = Path(model)
    if (path / "config.json").is_file():
        return False
    return (path / "model.json").is_file() or (path / "model").is_dir()


def taken_heads(settings: Encoder, tasks: Mapping[str, Task], readings: tuple[str, ...]) -> dict[str, LinearWeights]:
    """By task: the earlier run's head of the same name, in the order of our labels; nothing where none is to be taken.

    Args:
        readings: what our heads may read.

    Raises:
        RecipeError: a head does not fit the task of its name, or no task has the name of an earlier one.
    """
    if "heads" not in settings.take or not is_run(settings.model):
        return {}
    folder = model_folder(Path(settings.model))
    described, _ = _read(folder)
    told = described["tasks"]
    theirs = saved_tasks(told)
    shared = [name for name in tasks if name in theirs]
    if not shared:
        raise RecipeError(
            f"encoder.take asks for heads, and {settings.model} has none of the tasks {', '.join(tasks)}; its own are "
            f"{', '.join(theirs)}. Name the task as there, or leave heads out of take."
        )
    tensors = under("heads/", load_file(folder / "heads.safetensors"))
    found = {}
    for name in shared:
        reading = told[name]["reading"]
        _check_head(settings, tasks[name], theirs[name], reading, readings)
        weights, bias = tensors[f"{name}.net.weight"], tensors[f"{name}.net.bias"]
        found[name] = _reordered(
            LinearWeights(reading, weights.double().numpy().T, bias.double().numpy(), None), theirs[name], tasks[name]
        )
    return found


def _read(folder: Path) -> tuple[dict[str, Any], Encoder]:
    """What ``model.json`` says, and the encoder that it names."""
    try:
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if "export" in described:
            raise ModelError(
                f"the model in {folder} was exported to {described['export']} and cannot be trained on; name the model "
                "that it was exported from as encoder.model."
            )
        return described, beside(folder, Encoder.model_validate(described["encoder"]))
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise ModelError(f"the model in {folder} is damaged ({error}); save it again.") from error


def _check(settings: Encoder, described: Mapping[str, Any], folder: Path) -> None:
    """Refuse to take what is not there, or what would not mean what it meant."""
    take = settings.take
    if "adapter" in take and described["slots"]:
        raise ModelError(
            f"encoder.take: in the model in {folder} each domain has an adapter of its own, so there is no one to "
            "take; set encoder.take: [heads], or name another run."
        )
    if "adapter" in take and "body" not in take and not described["adapter"]:
        raise ModelError(f"encoder.take: the model in {folder} has no adapter; add body or heads, or name another run.")
    if "adapter" in take and "body" not in take and described.get("parents"):
        raise ModelError(
            f"encoder.take: the adapter of the model in {folder} was trained on a body that earlier runs had changed, "
            "and means nothing on another; take body too."
        )
    learned = described["adapter"] or described["tuned"] or described.get("parents")
    if not learned and "heads" not in take:
        raise ModelError(
            f"encoder.take: nothing in the encoder of the model in {folder} learned (its body was frozen); add heads, "
            f"or name its encoder {described['encoder']['model']!r} itself."
        )


def _learned(
    backbone: Backbone, settings: Encoder, described: Mapping[str, Any], folder: Path
) -> dict[str, torch.Tensor]:
    """All weights of the encoder, by name, once what is taken is in them; merged in float32: W + s B A for W."""
    if "body" not in settings.take:
        backbone = backbone if not described.get("parents") else Backbone.load(backbone.settings)
    elif described["tuned"]:
        put_tuned(backbone, folder / "body.safetensors")
    if "adapter" in settings.take and described["adapter"]:
        adapted: Any = load_adapter(backbone.body, folder / "adapter")
        backbone.body = adapted.merge_and_unload()
    return _weights(backbone)


def _weights(backbone: Backbone) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in backbone.body.named_parameters()}


def _record(
    settings: Encoder, described: Mapping[str, Any], folder: Path, weights: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    """What the lock, the model and its card tell of the run in ``folder``."""
    run = folder.parent if folder.name == "model" else folder.parent.parent
    lock = run / "lock.json" if "model" in (folder.name, folder.parent.name) else folder / "lock.json"
    told = lock.read_bytes() if lock.is_file() else b"{}"
    heads = hashlib.sha256((folder / "heads.safetensors").read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    locked = json.loads(told)
    return {
        "path": settings.model,
        "recipe": locked.get("recipe"),
        "take": list(settings.take),
        "base": described["base"],
        "weights": digest.hexdigest(),
        "heads": heads if "heads" in settings.take else None,
        "lock": {"sha256": hashlib.sha256(told).hexdigest()} | {name: locked.get(name) for name in _LOCKED}
        if locked
        else None,
        "parents": described.get("parents") or [],
    }


def _check_head(settings: Encoder, ours: Task, theirs: Task, reading: str, readings: tuple[str, ...]) -> None:
    place = f"heads.{ours.name}"
    if set(ours.labels) != set(theirs.labels) or ours.head.multilabel != theirs.head.multilabel:
        raise RecipeError(
            f"{place}: encoder.take asks for its head from {settings.model}, whose labels are "
            f"{', '.join(theirs.labels)}, and ours are {', '.join(ours.labels)}; rename the task, or leave heads out "
            "of encoder.take."
        )
    if ours.head.kind != "linear" or theirs.head.kind != "linear" or "layer." in reading:
        raise RecipeError(
            f"{place}: only a linear head over a fixed reading can be taken, and here is {ours.head.kind}, in "
            f"{settings.model} {theirs.head.kind} over {reading}; leave heads out of encoder.take."
        )
    if getattr(ours.head, "prior", None):
        raise RecipeError(
            f"{place}.prior: {ours.head.prior} and the head taken from {settings.model} are both the prior; set it to "  # type: ignore[attr-defined]
            "null, or leave heads out of encoder.take."
        )
    if reading not in readings:
        raise RecipeError(
            f"encoder.pool: the head of {ours.name} in {settings.model} reads {reading}, and ours would read "
            f"{' or '.join(readings)}; set pool to auto, or to what was read there."
        )


def _reordered(head: LinearWeights, theirs: Task, ours: Task) -> LinearWeights:
    """``head`` with an output for each of ours; one logit for two labels turns its sign where they are turned round."""
    if theirs.outputs == 1:
        sign = 1.0 if ours.labels == theirs.labels else -1.0
        return LinearWeights(head.reading, sign * head.weights, sign * head.bias, None)
    order = [theirs.labels.index(label) for label in ours.labels]
    return LinearWeights(head.reading, head.weights[:, order], head.bias[order], None)
