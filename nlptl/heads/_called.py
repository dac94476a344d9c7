"""What labels are called: the setting that zero-shot heads and name priors share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import Field, model_validator

from nlptl.contracts import Head
from nlptl.errors import RecipeError, nearest

Phrasings: TypeAlias = Annotated[
    dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] | None,
    Field(description="By label, names or short descriptions; none: the labels themselves, _ and - as spaces."),
]


def labels_from_names(values: Any) -> Any:
    """A head's settings before they are checked, with the labels that ``names`` names where no others are given."""
    if isinstance(values, dict) and values.get("labels") is None and isinstance(values.get("names"), dict):
        return values | {"labels": tuple(values["names"])}
    return values


def phrasings_of(labels: Sequence[str], names: Mapping[str, tuple[str, ...]] | None) -> tuple[tuple[str, ...], ...]:
    """What each of ``labels`` is called, in their order.

    Raises:
        RecipeError: ``names`` lacks a label, or names what is none.
    """
    if names is None:
        return tuple((re.sub(r"[_-]+", " ", label).strip() or label,) for label in labels)
    for name in names:
        if name not in labels:
            raise RecipeError(f"names: {name!r} is no label{nearest(name, labels) or '.'} Labels: {', '.join(labels)}.")
    missing = [label for label in labels if label not in names]
    if missing:
        raise RecipeError(f"names: label {missing[0]!r} has no name or description; write it beside the others.")
    return tuple(names[label] for label in labels)


class Called(Head):
    """A head that needs no labels but what they are called, and is calibrated on unlabelled texts."""

    names: Phrasings = None

    @model_validator(mode="before")
    @classmethod
    def _labels_are_those_named(cls, values: Any) -> Any:
        return labels_from_names(values)

    @property
    def closed_form(self) -> bool:
        """Always."""
        return True

    @property
    def needs_labels(self) -> bool:
        """Never."""
        return False

    @property
    def reads_unlabelled(self) -> bool:
        """For calibration."""
        return True

    def phrasings(self, labels: Sequence[str]) -> Sequence[Sequence[str]]:
        """What each label is called."""
        return phrasings_of(labels, self.names)
