"""A recipe file and what is laid over it: ``extends`` below, dotted overrides above."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlptl.errors import RecipeError
from nlptl.recipe.yaml import KeyPath, Located, dotted, parse
from nlptl.registry import ROOMS, find, kinds

SIGN = re.compile(r"[^\w\s~]|\t")
"""One sign, such as a delimiter, which YAML would take for the beginning of something; ``~`` is null."""
OVERRIDE = re.compile(r"(?P<key>[^=\s]+)=(?P<value>.*)", re.DOTALL)


@dataclass
class Document:
    """A recipe as written: its located values, and the mistakes found while reading."""

    path: Path
    root: Located
    problems: list[str] = field(default_factory=list)

    def place(self, path: KeyPath) -> str:
        """Where the value at ``path`` was written, or where its section was."""
        return self.root.at(path).place

    def written(self, path: KeyPath) -> str | None:
        """The characters of the unquoted scalar at ``path``."""
        return self.root.at(path).written


def read(path: Path, overrides: tuple[str, ...]) -> Document:
    """The recipe at ``path`` upon its bases, and below ``overrides`` such as ``train.lr=1e-4``.

    Raises:
        RecipeError: a file is absent, is not YAML, is no mapping, or extends itself.
    """
    problems: list[str] = []
    return _overridden(Document(path, _read_with_bases(path, problems, (), None), problems), overrides)


def written(text: str, path: Path) -> Document:
    """The recipe that is ``text``, as the file ``path`` would hold it; it extends none."""
    problems: list[str] = []
    return Document(path, _root(text, path, problems), problems)


def laid_over(values: Mapping[str, Any], overrides: Sequence[str], path: Path) -> Document:
    """``overrides`` upon plain ``values``, as a document about ``path``."""
    return _overridden(Document(path, _located(values, str(path))), overrides)


def _located(value: Any, place: str) -> Located:
    if isinstance(value, Mapping):
        return Located({key: _located(inside, place) for key, inside in value.items()}, place)
    return Located(value, place)


def _overridden(document: Document, overrides: Sequence[str]) -> Document:
    # A kind is chosen before the settings of that kind are, in whatever order the command names them.
    for override in sorted(overrides, key=lambda text: not text.partition("=")[0].endswith("kind")):
        document.root = _override(document.root, override, document.problems)
    return document


def _read_with_bases(path: Path, problems: list[str], above: tuple[Path, ...], named_at: str | None) -> Located:
    resolved = path.resolve()
    where = f"{named_at}: extends: " if named_at else ""
    if resolved in above:
        chain = " → ".join(file.name for file in (*above[above.index(resolved) :], resolved))
        raise RecipeError(f"{where}the recipes extend each other in a circle: {chain}. Take one of them out.")
    return _upon_base(_read_one(path, problems, where), path, problems, (*above, resolved))


def _upon_base(root: Located, path: Path, problems: list[str], above: tuple[Path, ...]) -> Located:
    """``root``, written in the file ``path``, upon the recipe that it ``extends``; its section ``before`` likewise."""
    assert isinstance(root.value, dict)
    before = root.value.get("before")
    if before is not None and isinstance(before.value, dict):
        root.value["before"] = _upon_base(before, path, problems, above)
    base = root.value.pop("extends", None)
    if base is None:
        return root
    if not isinstance(base.value, str) or not base.value:
        problems.append(f"{base.place}: extends: {base.plain()!r} is not one file, such as base.yaml.")
        return root
    return _merge(_read_with_bases(path.parent / base.value, problems, above, base.place), root)


def _read_one(path: Path, problems: list[str], where: str) -> Located:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = sorted(file.name for file in path.parent.glob("*.y*ml"))[:8] if path.parent.is_dir() else []
        there = f" In {path.parent} there are: {', '.join(near)}." if near else ""
        raise RecipeError(f"{where}there is no recipe {str(path)!r}.{there}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{where}{str(path)!r} cannot be read as a recipe: {error}.") from None
    return _root(text, path, problems, where)


def _root(text: str, path: Path, problems: list[str], where: str = "") -> Located:
    """The sections that ``text``, written in the file ``path``, holds."""
    root = parse(text, str(path), problems)
    if root is None or not isinstance(root.value, dict):
        content = "is empty" if root is None else "is no mapping"
        raise RecipeError(
            f"{where}{path} {content}: a recipe has sections, such as 'data: {{kind: csv, path: mail.csv}}'."
        )
    return root


def _merge(below: Located, above: Located, path: KeyPath = ()) -> Located:
    """``above`` upon ``below``: mappings merge, unless they are of different kinds; all else is replaced."""
    if not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    kind = above.child("kind")
    if kind is not None and kind.plain() != _kind(below):
        return above
    if path == ("data",) and _kind(below) is not None and _names_sources(above.value):
        return above
    merged = dict(below.value)
    for key, value in above.value.items():
        merged[key] = _merge(merged[key], value, (*path, key)) if key in merged else value
    return Located(merged, above.place)


def _names_sources(data: dict[str, Located]) -> bool:
    return bool(data) and all(isinstance(source.value, dict) for source in data.values())


def _kind(section: Located) -> Any:
    kind = section.child("kind")
    return None if kind is None else kind.plain()


def _override(root: Located, override: str, problems: list[str]) -> Located:
    """``root`` with one dotted override laid over it; a mistaken one leaves it as it was."""
    place = f"override {override!r}"
    match = OVERRIDE.fullmatch(override)
    if match is None:
        problems.append(f"{place}: is not KEY=VALUE, such as train.lr=1e-4.")
        return root
    path = tuple(int(step) if step.isdecimal() else step for step in match["key"].split("."))
    if "" in path or path == ("extends",):
        why = "names no setting" if "" in path else "extends is for files; pass the file that extends the base instead"
        problems.append(f"{place}: {match['key']}: {why}.")
        return root
    try:
        if SIGN.fullmatch(match["value"]):
            value = Located(match["value"], place)
        else:
            value = parse(match["value"], "", problems, place=place) or Located(None, place)
        return _placed(root, path, (), value)
    except RecipeError as error:
        problems.extend(error.problems)
        return root


def _placed(section: Located, path: KeyPath, done: KeyPath, value: Located) -> Located:
    if not path:
        return value
    step, rest = path[0], path[1:]
    inside = (*done, step)
    if isinstance(section.value, list):
        if not isinstance(step, int) or step >= len(section.value):
            choices = f"0 to {len(section.value) - 1}" if section.value else "none, the list is empty"
            raise RecipeError(f"{value.place}: {dotted(inside)}: {dotted(done)} is a list; its places are {choices}.")
        items = list(section.value)
        items[step] = _placed(items[step], rest, inside, value)
        return Located(items, section.place)
    known = section.value if isinstance(section.value, dict) else {}
    if section.value is not None and not isinstance(section.value, dict):
        raise RecipeError(
            f"{value.place}: {dotted(inside)}: {dotted(done)} is {section.plain()!r}, with nothing inside."
        )
    if step == "kind" and not rest:
        known = _that_fit(known, done, value)
    name = str(step)
    return Located(
        {**known, name: _placed(known.get(name, Located(None, value.place)), rest, inside, value)}, section.place
    )


def _that_fit(known: dict[str, Located], done: KeyPath, kind: Located) -> dict[str, Located]:
    """Of the settings of one kind, those that the ``kind`` it is changed to has too."""
    room, name = next((step for step in done if step != "before"), None), kind.plain()
    if room not in ROOMS or name not in kinds(str(room)):
        return known
    fields = find(str(room), name).model_fields
    return {key: value for key, value in known.items() if key in fields}
