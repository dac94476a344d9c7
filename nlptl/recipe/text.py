"""A recipe as text: the resolved whole with what each setting means, and the JSON Schema of recipe files."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError

from nlptl.errors import RecipeError
from nlptl.recipe.yaml import inline
from nlptl.registry import Settings

if TYPE_CHECKING:
    from nlptl.recipe import Recipe

WIDTH = 120
"""Columns that a setting and its comment may take together."""


def as_yaml(recipe: "Recipe", *, described: bool = False) -> str:
    """``recipe`` as YAML, every default spelled out, each setting followed by what it means.

    Args:
        described: for the record of a run, which can tell of data that lives in Python only, though not hold it.

    Raises:
        RecipeError: a value cannot be written as YAML.
    """
    try:
        values = recipe.described() if described else recipe.model_dump(mode="json")
    except PydanticSerializationError as error:
        raise RecipeError(str(error.__cause__ or error)) from None
    return "\n".join(_block(recipe, values, "")) + "\n"


def _block(settings: Settings, values: dict[str, Any], indent: str) -> Iterator[str]:
    fields, own = type(settings).model_fields, type(settings).__annotations__
    order = sorted(fields, key=lambda name: (name != "kind", not fields[name].is_required(), name not in own))
    rows = [(name, getattr(settings, name)) for name in (order if "kind" in fields else fields)]
    lines = {name: f"{indent}{name}: {inline(values[name])}" for name, value in rows if not _nested(value)}
    column = min(max(map(len, lines.values()), default=0), 44) + 2
    for name, value in rows:
        if not _nested(value):
            yield from _commented(lines[name], fields[name], column, indent)
            continue
        if not indent:
            yield ""
        yield f"{indent}{name}:"
        yield from _inside(value, values[name], f"{indent}  ")


def _inside(value: Any, values: dict[str, Any], indent: str) -> Iterator[str]:
    if isinstance(value, Settings):
        yield from _block(value, values, indent)
        return
    for name, item in value.items():
        yield f"{indent}{inline(name)}:"
        yield from _inside(item, values[name], f"{indent}  ")


def _nested(value: Any) -> bool:
    """Whether ``value`` is written over several lines: settings, or a mapping of them."""
    return isinstance(value, Settings) or (
        isinstance(value, dict) and bool(value) and all(map(_nested, value.values()))
    )


def _commented(line: str, field: FieldInfo, column: int, indent: str) -> Iterator[str]:
    if not field.description:
        yield line
    elif len(commented := f"{line:<{column - 2}}  # {field.description}") <= WIDTH:
        yield commented
    else:
        yield f"{indent}# {field.description}"
        yield line


def json_schema(recipe: "type[Recipe]") -> dict[str, Any]:
    """JSON Schema of a recipe file, which may leave to the one it extends what it must else have."""
    schema = recipe.model_json_schema()
    schema = {"$defs": schema["$defs"], **schema["$defs"][recipe.__name__]}  # for a recipe may hold a recipe
    for definition in schema["$defs"].values():
        if "const" in definition.get("properties", {}).get("kind", {}):
            definition["required"] = ["kind", *definition.get("required", [])]
    needed = schema.pop("required")
    schema["properties"] = {
        "extends": {"type": "string", "description": "The recipe file below this one, relative to it."},
        **schema["properties"],
    }
    schema["anyOf"] = [{"required": ["extends"]}, {"required": needed}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
