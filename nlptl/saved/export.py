"""A model in other shapes: written, compared with itself, and loaded again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Export
from nlptl.errors import ModelError
from nlptl.recipe import Encoder
from nlptl.registry import find

if TYPE_CHECKING:
    from nlptl.saved import Model


def write_export(model: Model, folder: Path, *, to: str, int8: bool, texts: Sequence[str] | None) -> Path:
    """What ``Model.export`` does."""
    kind = find("export", to)
    if int8 and "int8" not in kind.model_fields:
        raise ModelError(f"export to {to} knows no int8; leave it out, or export to onnx.")
    if model.network.text_scores:
        raise ModelError(
            f"task {next(iter(model.network.text_scores))} is answered by a model of its own that reads texts, which "
            "no export holds; save the model instead."
        )
    exporter = kind.model_validate({"int8": int8} if int8 else {})
    assert isinstance(exporter, Export)
    folder.mkdir(parents=True, exist_ok=True)
    exporter.write(model, folder)
    if texts is not None:
        from nlptl.saved import load

        found = json.dumps(agreement(model, load(folder), texts), indent=1)
        (folder / "agreement.json").write_text(found, encoding="utf-8")
    return folder


def agreement(model: Model, other: Model, texts: Sequence[str]) -> dict[str, Any]:
    """On ``texts``, by task: the share of equal labels (where it is multilabel, of equal sets of them), and the largest
    difference of a probability."""
    ours, theirs = model.probabilities(texts), other.probabilities(texts)
    found: dict[str, Any] = {"texts": len(texts)}
    for name, task in model.tasks.items():
        first, second = np.asarray(ours[name]), np.asarray(theirs[name])
        if task.head.multilabel:
            same = ((first >= 0.5) == (second >= 0.5)).all(axis=1)
        else:
            same = first.argmax(axis=1) == second.argmax(axis=1)
        found[name] = {"labels": float(same.mean()), "probability": float(np.abs(first - second).max())}
    return found


def load_export(kind: str, folder: Path) -> Model:
    """The model in ``folder``, which ``kind`` wrote."""
    exporter = find("export", kind)()
    assert isinstance(exporter, Export)
    return exporter.load(folder)


def beside(folder: Path, settings: Encoder) -> Encoder:
    """``settings`` with an encoder that lies in the model's own folder, wherever that is now."""
    if not settings.model.startswith("./"):
        return settings
    return settings.model_copy(update={"model": str(folder / settings.model)})
