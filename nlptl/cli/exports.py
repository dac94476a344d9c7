"""``nlptl export``: a model in another shape, and how far it answers alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nlptl.errors import RecipeError
from nlptl.predict.rows import source_like, texts_of
from nlptl.saved import load
from nlptl.saved.parts import model_folder, targets_folder
from nlptl.saved.place import refuse_nested


def export_model(
    path: Path,
    output: Path,
    *,
    to: str,
    int8: bool = False,
    texts: Path | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    overrides: Sequence[str] = (),
) -> list[str]:
    """Export the model in ``path`` to ``output``; the lines that are to be told of it.

    Args:
        to: a kind of export.
        texts: a file of texts to compare answers on, with ``text`` and ``text_pair`` as its columns, by default those
            of the training data, read as ``overrides`` say.

    Raises:
        RecipeError: ``output`` is the folder of the model itself, or overrides are given and no texts.
        ModelError: there is no whole model, it cannot be had in this shape, or ``output`` and it lie in one another.
        DataError: the texts cannot be read or asked, or ``output`` cannot be written.
    """
    if texts is None and overrides:
        raise RecipeError(f"{overrides[0]!r} says how a file is read, and none is given; name it with --texts.")
    if output.resolve() in (path.resolve(), (path / "model").resolve()):
        raise RecipeError(f"-o {output} is the folder of the model itself; name another, or the export replaces it.")
    refuse_nested(targets_folder(path) or model_folder(path), output)
    source = load(path)
    given, pairs = None, None
    if texts is not None:
        given, pairs = texts_of(source_like(source, texts, overrides, text=text, text_pair=text_pair))
    source.export(output, to=to, int8=int8, texts=given, text_pair=pairs)
    told = [f"Exported: {output}"]
    if given is None:
        return told
    found = json.loads((output / "agreement.json").read_text(encoding="utf-8"))
    for task in source.tasks:
        same, furthest = found[task]["labels"], found[task]["probability"]
        flags = found[task].get("anomalous")
        strange = "" if flags is None else f" and {flags:.2%} of strange or not"
        agree = f"{same:.2%} of {len(given)} labels{strange} agree"
        told.append(f"{task}: {agree}; probabilities differ by at most {furthest:.4f}.")
    return told
