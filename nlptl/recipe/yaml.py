"""YAML as located values: every value remembers the file and line, or the override, that it was written in.

The reading is safe: only text, numbers, booleans, null, lists and mappings exist. It departs from YAML 1.1 where that
surprises: ``2e-4`` and ``1e3`` are numbers; dates, ``007`` and ``12:30`` are text. Duplicate keys are mistakes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from yaml.reader import ReaderError

from nlptl.errors import RecipeError

KeyPath: TypeAlias = "tuple[str | int, ...]"
"""Where a value stands in a recipe: ``("heads", "spam", "labels", 0)``."""

INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
FLOAT = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
WHOLE = re.compile(r"[-+]?[0-9]{1,6}[eE]\+?[0-9]")
"""A whole number such as 1e3, welcome where a count is asked for."""
TRUE = ("true", "yes", "on")
MOST_NODES = 100_000
"""More values than any recipe holds: the guard against aliases that multiply."""


@dataclass(frozen=True)
class Located:
    """A value, where it was written, and, for an unquoted scalar, the very characters."""

    value: "str | int | float | bool | list[Located] | dict[str, Located] | None"
    place: str
    written: str | None = None

    def plain(self) -> Any:
        """The value without its places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def at(self, path: KeyPath) -> "Located":
        """The value at ``path``, or its nearest ancestor that was written."""
        found = self
        for step in path:
            inside = found.child(step)
            if inside is None:
                break
            found = inside
        return found

    def child(self, step: str | int) -> "Located | None":
        """The value one step inside, where there is one."""
        if isinstance(self.value, dict):
            return self.value.get(str(step))
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with the numbers that people write."""


class _Dumper(yaml.SafeDumper):
    """Writes what ``_Loader`` reads: it quotes text that would be read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _class in (_Loader, _Dumper):
    _other = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"}
    _class.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _other]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _class.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"^(?:{INTEGER.pattern})$"), list("-+0123456789"))
    _class.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^(?:{FLOAT.pattern})$"), list("-+.0123456789"))


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if "\n" in text or not text.isprintable() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def inline(value: Any) -> str:
    """``value`` as YAML on one line."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("...\n").strip()


def parse(text: str, name: str, problems: list[str], *, place: str | None = None) -> Located | None:
    """The located values in ``text``; mistakes that leave the rest readable are added to ``problems``.

    Args:
        text: one YAML document.
        name: of the file, for places such as ``spam.yaml:12``.
        place: the place of every value, instead of file and line.

    Returns:
        None for an empty document.

    Raises:
        RecipeError: the text is not YAML at all.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise RecipeError(_syntax(error, text, name, place)) from None
    return None if node is None else _Reader(name, place, problems).located(node, node, ())


def _syntax(error: yaml.YAMLError, text: str, name: str, place: str | None) -> str:
    if isinstance(error, ReaderError):
        line, sign = text.count("\n", 0, error.position) + 1, f"U+{ord(text[error.position]):04X}"
        return f"{place or f'{name}:{line}'}: this is not YAML: it holds the control character {sign}; take it out."
    mark = getattr(error, "problem_mark", None)
    where = place or (f"{name}:{mark.line + 1}" if mark else name)
    problem = getattr(error, "problem", None) or str(error)
    tab = " Indent with spaces, not tabs." if "\\t" in problem else ""
    return f"{where}: this is not YAML: {problem}.{tab}"


class _Reader:
    def __init__(self, name: str, place: str | None, problems: list[str]) -> None:
        self.name, self.place, self.problems = name, place, problems
        self.nodes = 0

    def located(self, node: yaml.Node, key: yaml.Node, path: KeyPath) -> Located:
        """``node`` as located values; in a mapping its place is that of its ``key``."""
        self.nodes += 1
        place = self.where(key)
        if self.nodes > MOST_NODES or len(path) > 20:
            raise RecipeError(f"{place}: aliases (*name) repeat values without end; write the values out.")
        if isinstance(node, yaml.MappingNode):
            return Located(dict(self.entries(node, path)), place)
        if isinstance(node, yaml.SequenceNode):
            items = [self.located(item, item, (*path, index)) for index, item in enumerate(node.value)]
            return Located(items, place)
        unquoted = isinstance(node, yaml.ScalarNode) and node.style is None
        return Located(self.scalar(node, path), place, node.value if unquoted else None)

    def entries(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, Located]]:
        first: dict[str, str] = {}
        for key_node, value_node in node.value:
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            inside = (*path, name)
            if name == "<<":
                self.problem(key_node, inside, "merge keys are not read; share settings with 'extends: base.yaml'")
            elif not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, inside, "a key must be one word or text")
            elif name in first:
                self.problem(key_node, inside, f"is written twice, first at {first[name]}; keep one")
            else:
                first[name] = self.where(key_node)
                yield name, self.located(value_node, key_node, inside)

    def scalar(self, node: yaml.Node, path: KeyPath) -> str | int | float | bool | None:
        text: str = node.value
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "null":
                return None
            case "bool":
                return text.lower() in TRUE
            case "int" if INTEGER.fullmatch(text):
                return int(text.replace("_", ""))
            case "float" if WHOLE.fullmatch(text):
                return int(float(text))
            case "int" | "float" if FLOAT.fullmatch(text):
                return float(re.sub(r"\.(inf|nan)", r"\1", text, flags=re.IGNORECASE))
            case "str" | "value" | "merge":  # = and << are text here
                return text
        self.problem(node, path, f"tag {node.tag!r} is not read: a recipe is data and names no code")
        return text

    def where(self, node: yaml.Node) -> str:
        return self.place or f"{self.name}:{node.start_mark.line + 1}"

    def problem(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self.problems.append(f"{self.where(node)}: {dotted(path)}: {message}.")


def dotted(path: KeyPath) -> str:
    """``heads.spam.labels.0``, the way overrides write it."""
    return ".".join(map(str, path))
