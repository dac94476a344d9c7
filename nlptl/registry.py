"""A name is a file: ``kind: coral`` under ``adapt`` is class ``Coral`` in ``nlptl/adapt/coral.py``.

Adding the file is all there is to adding a kind. Files that start with ``_`` are not kinds. An installed package adds
kinds through entry points of the group ``nlptl.<room>``, named as the kind and pointing at its class.
"""

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from nlptl.errors import RecipeError, nearest

ROOMS = ("data", "heads", "tune", "adapt", "augment", "balance", "diagnose", "export")
"""The rooms whose files are kinds, in recipe order."""

UNNAMED = {
    "diagnose": "'nlptl diagnose' and 'nlptl suggest' measure by some of them, and Python by any, such as "
    "nlptl.diagnose.Logme().measure(View(features=…, labels=…)), with View from nlptl.contracts.diagnose.",
    "export": "'nlptl export --to KIND' does, and in Python Model.export(folder, to=KIND).",
}
"""The rooms whose kinds recipes do not name, and who does."""


class Settings(BaseModel):
    """Frozen, typed settings: a section of a recipe, or a kind in one of the rooms. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _freeze_lists(cls, values: Any) -> Any:
        """YAML and notebooks write lists; frozen settings hold tuples, so that equal recipes compare equal."""
        if not isinstance(values, dict):
            return values
        return {key: _as_tuple(value) for key, value in values.items()}


def _as_tuple(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_tuple(item) for key, item in value.items()}
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value


def class_name(kind: str) -> str:
    """The class that file ``kind`` holds: ``self_training`` → ``SelfTraining``."""
    return "".join(part.capitalize() for part in kind.split("_"))


@cache
def _third_party(room: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"nlptl.{room}")}


@cache
def kinds(room: str) -> tuple[str, ...]:
    """The names of all kinds in ``room``, sorted: our files, then what installed packages add."""
    if room not in ROOMS:
        raise RecipeError(f"no room {room!r} holds kinds{nearest(room, ROOMS) or '.'} Choices: {', '.join(ROOMS)}.")
    return tuple(sorted(_ours(room) | set(_third_party(room))))


@cache
def _ours(room: str) -> set[str]:
    folder = Path(__file__).parent / room
    return {module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_")}


@cache
def find(room: str, kind: str) -> type[Settings]:
    """The class of ``kind`` in ``room``.

    Raises:
        RecipeError: no file and no entry point has that name (the message holds the nearest one and the choices), or
            an installed package's kind cannot be loaded.
    """
    choices = kinds(room)
    if kind not in choices:
        raise RecipeError(f"no {room} kind {kind!r}{nearest(kind, choices) or '.'} Choices: {', '.join(choices)}.")
    if kind in _ours(room):
        found: type[Settings] = getattr(importlib.import_module(f"nlptl.{room}.{kind}"), class_name(kind))
        return found
    point = _third_party(room)[kind]
    try:
        found = point.load()
    except Exception as error:
        package = point.dist.name if point.dist else point.module
        raise RecipeError(
            f"{room} kind {kind!r} of installed package {package!r} cannot be loaded ({error}); repair or remove it."
        ) from error
    return found


METRICS = ("accuracy", "auc", "classwise_ece", "ece", "f1", "recall_at_loss")
"""The metrics shipped in ``nlptl.evaluate.metrics``."""


def metric_names() -> tuple[str, ...]:
    """The metrics that a recipe may name, sorted: ours, then entry points of the group ``nlptl.metrics``."""
    return tuple(sorted({*METRICS, *_third_party("metrics")}))


def third_party_metric(name: str) -> Any:
    """What entry point ``name`` of group ``nlptl.metrics`` points at: a subclass of ``evaluate.EvaluationModule``."""
    return _third_party("metrics")[name].load()


def lazy_kinds(room: str) -> tuple[Callable[[str], Any], list[str]]:
    """``__getattr__`` and ``__all__`` for a room's ``__init__``: each kind's class, imported when it is first named."""
    by_class = {class_name(kind): kind for kind in kinds(room)}

    def __getattr__(name: str) -> Any:
        if name in by_class:
            return find(room, by_class[name])
        raise AttributeError(f"module 'nlptl.{room}' has no attribute {name!r}")

    return __getattr__, sorted(by_class)


class KindOf:
    """Pydantic marker: a field that holds any kind of ``room``, told apart by its ``kind`` key."""

    def __init__(self, room: str) -> None:
        self.room = room

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices: dict[Any, CoreSchema] = {
            kind: handler.generate_schema(find(self.room, kind)) for kind in kinds(self.room)
        }
        return core_schema.tagged_union_schema(choices=choices, discriminator="kind")
