"""What a sound recipe would do, in a few lines; data that is small is read, as a run would read it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from nlptl.cli.rows import found_rows
from nlptl.contracts import Source
from nlptl.contracts.adapt import Before
from nlptl.data._files import FileSource
from nlptl.recipe.rules_heads import learns_further
from nlptl.recipe.yaml import inline

if TYPE_CHECKING:
    from nlptl.recipe import Recipe

QUICK = 16 * 2**20
"""Bytes, of all sources together, up to which data is read."""


def outline(recipe: Recipe) -> Iterator[str]:
    """The lines that ``nlptl check`` prints.

    Raises:
        RecipeError, DataError: the data is absent, or, where it is read, does not have what the recipe names.
    """
    yield f"Recipe {recipe.name!r} is sound."
    if recipe.before is not None:
        list(outline(recipe.before))  # what its run would refuse
        yield f"  before: {recipe.before.name}, into runs/{recipe.before.name} unless it is there; taken: " + ", ".join(
            recipe.encoder.take
        )
    sources = recipe.data if isinstance(recipe.data, dict) else {"": recipe.data}
    sizes = {name: source.size() for name, source in sources.items()}
    quick = sum(QUICK if size is None else size for size in sizes.values()) < QUICK
    for name, source in sources.items():
        yield f"  data{f'.{name}' if name else ''}: {source.kind}{_from(source, sizes[name])}"
    yield from found_rows(recipe) if quick else ["  rows: not read here; 'nlptl run' checks domains and labels"]
    transfer = recipe.transfer
    yield f"  transfer: {_listed(transfer.source)} → {_listed(transfer.target)}, {transfer.protocol.replace('_', ' ')}"
    among = recipe.encoder.among
    yield f"  encoder: {f'the best of {_listed(among)}' if among else recipe.encoder.model}, {recipe.tune.kind}"
    if recipe.adapt:
        yield f"  adapt: {', '.join(way.kind for way in recipe.adapt)}"
    if recipe.augment:
        yield f"  augment: {', '.join(way.kind for way in recipe.augment)}"
    for task, head in recipe.heads.items():
        labels = ", ".join(head.labels) if head.labels else "labels as found"
        yield f"  heads.{task}: {head.kind}, from column {head.column or task!r}: {labels}"
    yield f"  evaluate: {', '.join(recipe.evaluate.metrics)}"
    unread = _unread(recipe)
    if besides := list(_besides(recipe, unread)):
        yield f"  besides: {', '.join(besides)}"
    by_reason = defaultdict[str, list[str]](list)
    for setting, reason in unread.items():
        by_reason[reason].append(setting)
    for reason, settings in by_reason.items():
        yield f"  not read: {', '.join(settings)}, since {reason}"


BESIDES = {
    "transfer": ("choose", "weigh", "through"),
    "balance": ("kind",),
    "train": ("refit",),
    "evaluate": ("seeds", "cold_start", "solo", "scratch"),
}
"""By section, the settings beyond their defaults that add encoding, trainings or whole runs."""
UNTRAINED = "nothing here is trained (tune, adapt, encoder.pool and kinds of heads say what is)"


def _besides(recipe: Recipe, unread: Container[str]) -> Iterator[str]:
    """Those of ``BESIDES`` that are not at their defaults and are read, with their values as YAML."""
    for section, names in BESIDES.items():
        written = getattr(recipe, section).model_dump(mode="json")
        for name in names:
            if _is_set(recipe, section, name) and f"{section}.{name}" not in unread:
                yield f"{section}.{name}: {inline(written[name])}"


def _unread(recipe: Recipe) -> dict[str, str]:
    """The settings that are not at their defaults and are read by nothing, each with the reason."""
    learned = any(learns_further(head, recipe.tune, recipe.encoder, recipe.adapt) for head in recipe.heads.values())
    trained = learned or recipe.evaluate.scratch or any(isinstance(way, Before) for way in recipe.adapt)
    alone = None if len(recipe.heads) > 1 else "there is one task"
    reasons = {("train", name): None if trained else UNTRAINED for name in type(recipe.train).model_fields}
    reasons["balance", "kind"] = alone if trained else UNTRAINED
    reasons["evaluate", "solo"] = alone if learned else UNTRAINED
    rehearsed = recipe.transfer.choose is not None and recipe.tune.learns
    reasons["transfer", "rehearsals"] = None if rehearsed else "transfer.choose has no training to rehearse"
    found = {place: reason for place, reason in reasons.items() if reason is not None and _is_set(recipe, *place)}
    return {".".join(place): reason for place, reason in found.items()}


def _is_set(recipe: Recipe, section: str, name: str) -> bool:
    """Whether the setting is not at its default."""
    usual = type(recipe).model_fields[section].get_default(call_default_factory=True)
    return bool(getattr(getattr(recipe, section), name) != getattr(usual, name))


def _listed(names: str | tuple[str, ...]) -> str:
    return names if isinstance(names, str) else ", ".join(names)


def _from(source: Source, size: int | None) -> str:
    """Where the source's rows stand, and how many MiB that is."""
    paths = [found.path for found in source.files()] if isinstance(source, FileSource) else []
    files = f", {paths[0] if len(paths) == 1 else f'{len(paths)} files'}" if paths else ""
    return files + (f", {size / 2**20:,.1f} MiB" if size is not None else "")
