"""What a sound recipe would do, in a few lines; data that is small is read to see that its columns are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nlptl.contracts import Quarantine, Source
from nlptl.data._read import must_be_there
from nlptl.errors import DataError, nearest

if TYPE_CHECKING:
    from nlptl.recipe import Recipe

QUICK = 32 * 2**20
"""Bytes up to which data is read."""


def outline(recipe: Recipe) -> Iterator[str]:
    """The lines that ``nlptl check`` prints.

    Raises:
        DataError: the data is absent, or lacks a column that the recipe names.
    """
    yield f"Recipe {recipe.name!r} is sound."
    if recipe.before is not None:
        yield f"  before: {recipe.before.name}, into runs/{recipe.before.name} unless it is there; taken: " + ", ".join(
            recipe.encoder.take
        )
    sources = recipe.data if isinstance(recipe.data, dict) else {"": recipe.data}
    for name, source in sources.items():
        yield f"  data{f'.{name}' if name else ''}: {_source(source, recipe)}"
    transfer = recipe.transfer
    yield f"  transfer: {_listed(transfer.source)} → {_listed(transfer.target)}, {transfer.protocol.replace('_', ' ')}"
    yield f"  encoder: {recipe.encoder.model}, {recipe.tune.kind}"
    if recipe.adapt:
        yield f"  adapt: {', '.join(way.kind for way in recipe.adapt)}"
    if recipe.augment:
        yield f"  augment: {', '.join(way.kind for way in recipe.augment)}"
    for task, head in recipe.heads.items():
        labels = ", ".join(head.labels) if head.labels else "labels as found"
        yield f"  heads.{task}: {head.kind}, from column {head.column or task!r}: {labels}"
    yield f"  evaluate: {', '.join(recipe.evaluate.metrics)}"


def _listed(names: str | tuple[str, ...]) -> str:
    return names if isinstance(names, str) else ", ".join(names)


def _source(source: Source, recipe: Recipe) -> str:
    """What the source holds, as far as that is quickly seen."""
    paths = [found.path for found in source.files()] if hasattr(source, "files") else None
    if paths is None:
        return f"{source.kind}, not read here"
    size = sum(path.stat().st_size for path in paths if path.is_file())
    files = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files"
    if size > QUICK or any(path.is_dir() for path in paths):
        return f"{source.kind}, {files}, {size / 2**20:,.0f} MiB, not read here"
    quarantine = Quarantine()
    table = source.frame(quarantine)
    columns = [str(column) for column in table.columns if not str(column).startswith("__")]
    _need(columns, source, recipe, paths[0])
    rejected = f", {len(quarantine):,} rejected" if len(quarantine) else ""
    return f"{source.kind}, {files}: {len(table):,} rows{rejected}, columns {', '.join(columns)}"


def _need(columns: list[str], source: Source, recipe: Recipe, path: Path) -> None:
    """Refuse a recipe that names columns which the data lacks."""
    wanted = {f"data.{role}": getattr(source, role) for role in ("text", "text_pair", "domain", "time", "id", "split")}
    one_source = not isinstance(recipe.data, dict)  # of several, each may have the labels of some tasks
    if one_source:
        wanted |= {
            f"heads.{task}.column": head.column or task for task, head in recipe.heads.items() if must_be_there(head)
        }
    absent = [
        f"{column!r} ({place}){nearest(column, columns)}"
        for place, column in wanted.items()
        if column is not None and column not in columns
    ]
    if absent:
        stop = "" if absent[-1].endswith("?") else "."
        raise DataError(f"{path} has no column {', nor '.join(absent)}{stop} Its columns are: {', '.join(columns)}.")
