"""What is wrong with a recipe, in the words of someone who writes one: a line for each mistake."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nlptl.errors import RecipeError, nearest
from nlptl.recipe.file import Document
from nlptl.recipe.yaml import KeyPath, dotted, inline
from nlptl.registry import ROOMS, find, kinds

if TYPE_CHECKING:
    from nlptl.recipe import Recipe

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
}
"""What stands behind "is not": pydantic's error types, in words."""


def refusal(
    document: Document | None, problems: Iterable[tuple[KeyPath, str]], told: Iterable[str] = ()
) -> RecipeError:
    """One error with a line for each of ``problems``, in the order of the file, after those met while reading it;
    ``told`` are lines already."""
    lines = [*(document.problems if document else ()), *told]
    for path, message in problems:
        where = f"{document.place(path)}: " if document else ""
        lines.append(f"{where}{dotted(path) + ': ' if path else ''}{message}")
    lines = sorted(dict.fromkeys(lines), key=_line_number)
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return RecipeError(f"{count} in {document.path if document else 'the recipe'}:", tuple(lines))


def _line_number(line: str) -> tuple[str, int]:
    place = re.match(r"(?P<file>[^\n]*?):(?P<line>\d+): ", line)
    return (place["file"], int(place["line"])) if place and not line.startswith("override") else ("\uffff", 0)


def in_words(
    error: ValidationError, values: Any, document: Document | None, recipe: "type[Recipe]"
) -> Iterator[tuple[KeyPath, str]]:
    """The place and the words of each mistake in ``error``; the several errors of one union become one."""
    found = [(_path(detail, values), detail) for detail in error.errors(include_url=False)]
    places = {path for path, _ in found}
    for path, group in groupby(sorted(found, key=lambda item: list(map(str, item[0]))), key=lambda item: item[0]):
        details = [detail for _, detail in group]
        if any(other[: len(path)] == path != other for other in places):
            continue  # What is wrong lies deeper inside; here only the other types of a union were tried.
        written = document.written(path) if document else None
        yield path, _Mistake(path, details, values, written, recipe).in_words()


def _path(detail: ErrorDetails, values: Any) -> KeyPath:
    """The keys of ``detail``'s place, without the tags that pydantic puts between them for unions."""
    path: list[str | int] = []
    inside = values
    for step in detail["loc"]:
        known = _has(inside, step)
        if known:
            inside = getattr(inside, str(step)) if isinstance(inside, BaseModel) else inside[step]
        if known or (detail["type"] == "missing" and step is detail["loc"][-1]):
            path.append(step)
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path.append("kind")
    return tuple(path)


def _has(value: Any, step: str | int) -> bool:
    if isinstance(value, BaseModel):
        return step in type(value).model_fields
    return isinstance(step, int) if isinstance(value, list | tuple) else isinstance(value, Mapping) and step in value


class _Mistake:
    """The errors at one place, which become one line."""

    def __init__(
        self, path: KeyPath, details: list[ErrorDetails], values: Any, written: str | None, recipe: "type[Recipe]"
    ) -> None:
        self.path, self.details, self.values, self.written, self.recipe = path, details, values, written, recipe
        self.value = details[0]["input"]

    def in_words(self) -> str:
        detail = self.details[0]
        match detail["type"]:
            case "missing":
                return self.missing()
            case "extra_forbidden":
                return self.unknown_key()
            case "union_tag_invalid" | "union_tag_not_found":
                return self.kind(detail)
            case "value_error" | "assertion_error":
                return f"{detail['ctx']['error']}"
            case "too_short":
                return f"holds {_count(self.value)}; it needs at least {detail['ctx']['min_length']}."
        return self.expectation()

    def missing(self) -> str:
        field = _fields(self.recipe, self.path[:-1], self.values).get(str(self.path[-1]))
        example = " such as {kind: csv, path: mail.csv}" if self.path == ("data",) else ""
        example = " such as {spam: {kind: linear, column: label}}" if self.path == ("heads",) else example
        meaning = f" ({field.description.rstrip('.')})" if field and field.description else ""
        return f"is missing; write it{example or meaning}."

    def unknown_key(self) -> str:
        key = str(self.path[-1])
        choices = _fields(self.recipe, self.path[:-1], self.values)
        return f"unknown key{nearest(key, choices) or self.elsewhere(key)} Choices: {', '.join(choices)}."

    def elsewhere(self, key: str) -> str:
        homes: list[KeyPath] = [
            (name,) for name in self.recipe.model_fields if key in _fields(self.recipe, (name,), self.values)
        ]
        if key in self.recipe.model_fields and len(self.path) > 1:
            homes.append(())
        return f"; did you mean {dotted((*homes[0], key))!r}?" if homes else "."

    def kind(self, detail: ErrorDetails) -> str:
        room = str(self.path[0])
        choices = kinds(room)
        if detail["type"] == "union_tag_not_found":
            return f"is missing. Choices: {', '.join(choices)}."
        name = detail["ctx"]["tag"]
        hint = nearest(name, choices)
        return f"no {room} kind {name!r}{hint or '.'} Choices: {', '.join(choices)}."

    def expectation(self) -> str:
        wanted = " or ".join(dict.fromkeys(_expected(detail) for detail in self.details))
        types = {detail["type"] for detail in self.details}
        return f"{self.shown()} is not {wanted}{self.hint(types)}"

    def shown(self) -> str:
        if self.written is not None and self.written != str(self.value):
            return f"{self.written or 'nothing (null)'}"
        try:
            text = inline(self.value)
        except Exception:  # a Python object from a notebook, which YAML cannot write
            text = repr(self.value)
        quoted = f"'{text}'" if isinstance(self.value, str) and text == self.value else text
        return quoted if len(quoted) <= 60 else f"{quoted[:57]}..."

    def hint(self, types: set[str]) -> str:
        value = self.value
        if "string_type" in types and isinstance(value, bool | int | float | None):
            read = "null" if value is None else inline(value)
            written = self.written or read
            as_what = f" ({written} is read as {read})" if written != read else ""
            return f'{as_what}; write it in quotes: "{written}".' if written else "; leave it out or write some text."
        if "literal_error" in types and isinstance(value, str):
            return nearest(value, _choices(self.details)) or "."
        if types & {"tuple_type", "list_type"} and isinstance(value, str):
            return f"; write [{value}]."
        if types & {"dict_type", "model_type", "model_attributes_type"}:
            if value is None and len(self.path) == 1:
                return "; leave the section out to have its defaults."
            room = str(self.path[0]) if self.path else ""
            if isinstance(value, str) and room in ROOMS and value in kinds(room):
                return f"; write {{kind: {value}}}."
        if types & {"int_type", "float_type", "bool_type"} and isinstance(value, str) and self.written is None:
            return " (it is text)."
        return "."


def _expected(detail: ErrorDetails) -> str:
    if detail["type"] == "literal_error":
        choices = _choices([detail])
        return f"one of {', '.join(choices)}" if len(choices) > 1 else repr(choices[0])
    template = EXPECTED.get(detail["type"])
    return template.format_map(detail.get("ctx", {})) if template else f"sound ({detail['msg']})"


def _choices(details: list[ErrorDetails]) -> list[str]:
    return [name for detail in details for name in re.findall(r"'([^']*)'", detail.get("ctx", {}).get("expected", ""))]


def _count(value: Any) -> str:
    return "nothing" if not value else f"only {len(value)}"


def _fields(recipe: "type[Recipe]", path: KeyPath, values: Any) -> Mapping[str, Any]:
    """The fields of the settings at ``path``: the recipe's, a section's, those of the kind that is named there, or of
    what is nested in them."""
    known: type[BaseModel] | None = recipe
    for depth, step in enumerate(path):
        values = _inside(values, step)
        field = known.model_fields.get(str(step)) if known else None
        known = _settings(field.annotation) if field else None
        kind = values.get("kind") if isinstance(values, Mapping) else None
        if path[0] in ROOMS and depth < 2 and kind in kinds(str(path[0])):
            known = find(str(path[0]), kind)
    return known.model_fields if known else {}


def _inside(values: Any, step: str | int) -> Any:
    """What stands at ``step`` in a mapping or a list; None where nothing does."""
    if isinstance(values, Mapping):
        return values.get(step)
    return values[step] if isinstance(values, list | tuple) and isinstance(step, int) and step < len(values) else None


def _settings(annotation: Any) -> type[BaseModel] | None:
    """The settings that a field may hold; None where it holds none, or any kind of a room."""
    for each in (annotation, *get_args(annotation)):
        if get_origin(each) is None and isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None
