"""The recipe inside a recipe: section ``before``, checked by itself so that all problems of a file come at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nlptl.errors import RecipeError
from nlptl.recipe.file import Document
from nlptl.recipe.yaml import Located

if TYPE_CHECKING:
    from nlptl.recipe import Recipe


def with_before(recipe: type[Recipe], values: Any, document: Document | None) -> tuple[Any, tuple[str, ...]]:
    """``values`` with section ``before`` as a recipe, and a line for each of its problems; with any, as if it had none.

    Args:
        recipe: the class.
        document: where ``values`` were written, if in a file.
    """
    before = values.get("before") if isinstance(values, Mapping) else None
    if before is None or isinstance(before, recipe):
        return values, ()
    place = "" if document is None else f"{document.place(('before',))}: "
    if not isinstance(before, Mapping):
        return {**values, "before": None}, (f"{place}before: {before!r} is no recipe; write its sections there.",)
    inside = None
    if document is not None:
        root = document.root.child("before")
        inside = replace(document, root=root or Located(None, document.root.place), problems=[])
    try:
        return {**values, "before": recipe.model_validate(before, context=inside)}, ()
    except RecipeError as error:
        lines = error.problems if document else tuple(f"before.{problem}" for problem in error.problems)
        return {**values, "before": None}, lines
