"""A model in other shapes: written, compared with itself, and loaded again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Export
from nlptl.data._cells import is_null
from nlptl.errors import DataError, ModelError
from nlptl.recipe import Encoder
from nlptl.registry import find
from nlptl.saved.answers import asked
from nlptl.saved.place import written_anew

if TYPE_CHECKING:
    from nlptl.saved import Model


def write_export(
    model: Model, folder: Path, *, to: str, int8: bool, texts: Sequence[str] | None, pairs: Sequence[str] | None = None
) -> Path:
    """What ``Model.export`` does. An export that fails leaves what was in ``folder``.

    Raises:
        ModelError: the model cannot be had in this shape.
        DataError: ``texts`` are none, or cannot be asked of the model; or ``folder`` cannot be written.
    """
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
    if texts is not None and not exporter.answers:
        raise ModelError(
            f"an export to {to} does not answer by itself, so there is nothing to compare on texts; leave them out, or "
            "export to merged or onnx."
        )
    if texts is not None:
        texts, pairs, _ = asked(texts, pairs, None, model.columns)
        if not texts:
            raise DataError("texts holds none, so that there is nothing to compare answers on; leave it out.")
    with written_anew(folder, kept=[Path(model.network.backbone.settings.model)]) as made:
        exporter.write(model, made)
    if texts is not None:
        from nlptl.saved import load

        found = json.dumps(agreement(model, load(folder), texts, pairs), indent=1)
        (folder / "agreement.json").write_text(found, encoding="utf-8")
    return folder


def agreement(model: Model, other: Model, texts: Sequence[str], pairs: Sequence[str] | None = None) -> dict[str, Any]:
    """On ``texts`` (``pairs``: the second ones) of nobody's in particular, by task: the share of equal answers (where
    it is multilabel, of equal sets of labels), the largest difference of a probability and, where strange texts are
    flagged, the share of texts that both flag or both do not."""
    ours, theirs = (each.table(texts, pairs, domains=[None] * len(texts)) for each in (model, other))
    found: dict[str, Any] = {"texts": len(texts)}
    for name, task in model.tasks.items():
        same = [_alike(first, second) for first, second in zip(ours[name], theirs[name], strict=True)]
        columns = [f"{name}.{label}" for label in task.labels]
        furthest = np.abs(ours[columns].to_numpy() - theirs[columns].to_numpy()).max()
        found[name] = {"labels": float(np.mean(same)), "probability": float(furthest)}
        if name in model.gauges and model.gauges[name].threshold is not None:
            flags = [each[f"{name}.anomalous"].to_numpy(dtype=bool) for each in (ours, theirs)]
            found[name]["anomalous"] = float(np.mean(flags[0] == flags[1]))
    return found


def _alike(first: Any, second: Any) -> bool:
    """Whether two answers are the same; where both models abstain, they are."""
    return (is_null(first) and is_null(second)) or bool(first == second)


def load_export(kind: str, folder: Path) -> Model:
    """The model in ``folder``, which ``kind`` wrote."""
    exporter = find("export", kind)()
    assert isinstance(exporter, Export)
    return exporter.load(folder)


def beside(folder: Path, settings: Encoder) -> Encoder:
    """``settings`` with an encoder that lies in the model's own folder, wherever that is now; a recipe's own ``./`` is
    where the command runs."""
    own = folder / settings.model
    if not settings.model.startswith("./") or not own.is_dir():
        return settings
    return settings.model_copy(update={"model": str(own)})
