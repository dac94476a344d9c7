"""How files that no recipe describes are to be read: judged by their names and, for CSV, their first lines."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlptl.data._dialect import dialect_of
from nlptl.data._files import FileSource, expand
from nlptl.errors import DataError, RecipeError
from nlptl.recipe import Recipe
from nlptl.recipe.file import laid_over
from nlptl.registry import find, kinds

DIALECT = ("delimiter", "encoding", "quote")
"""What files of one origin have in common, of kind csv."""

log = logging.getLogger("nlptl")


def source_of(
    path: Path,
    columns: Mapping[str, str | None],
    overrides: Sequence[str] = (),
    like: Mapping[str, str | None] | None = None,
) -> FileSource:
    """What reads ``path`` as a recipe's ``data`` would.

    Args:
        path: a file, a folder, a glob or a template such as ``mail/{user}/inbox.mbox``.
        columns: of text, text_pair, domain, id; those that are None are left out.
        overrides: such as ``data.delimiter=;``, as of a recipe.
        like: the kind and, for csv, delimiter, encoding and quote of data that it may be like.

    Raises:
        RecipeError: an override is none of ``data``, or mistaken.
        DataError: nothing is there, or it is of no known format.
    """
    for override in overrides:
        if not override.startswith("data."):
            raise RecipeError(
                f"{override!r} does not say how {path} is read; give settings of data only, such as data.delimiter=';'."
            )
    said = dict(override.removeprefix("data.").partition("=")[::2] for override in overrides)
    first = expand(str(path))[0].path
    kind = said.get("kind") or kind_of(first)
    settings = {"kind": kind, "path": str(path), **{name: column for name, column in columns.items() if column}}
    if kind == "csv":
        settings |= _dialect(first, like if like and like.get("kind") == kind else {}, said)
    document = laid_over({"data": settings, "heads": {"(none is read)": {"kind": "linear"}}}, overrides, path)
    source = Recipe.model_validate(document.root.plain(), context=document).first_source
    if not isinstance(source, FileSource):
        raise RecipeError(f"data.kind={kind} reads no files; name one that reads {path}.")
    return source


def _dialect(data: Path, like: Mapping[str, str | None], said: Mapping[str, str]) -> dict[str, Any]:
    """The dialect of the data that it is like, but for what the file's bytes say against it, which is told."""
    settings: dict[str, Any] = {name: like[name] for name in DIALECT if name in like and name not in said}
    seen = looked_at(data, settings, said.get("encoding"))
    other = {name: value for name, value in seen.items() if name not in said}
    if other:
        log.warning(
            "%s: taken to have %s, by what its bytes look like; if that is wrong, append %s", data,
            " and ".join(f"{name} {value!r}" for name, value in other.items()),
            " ".join(f"data.{name}=…" for name in other),
        )  # fmt: skip
    return settings | other


def looked_at(data: Path, usual: Mapping[str, Any], said: str | None = None) -> dict[str, str]:
    """Encoding and delimiter of a CSV file, or of the first in folder ``data``, where they are not the usual ones.

    Args:
        usual: those of data that it may be like; else the defaults of kind csv.
        said: the encoding where it is known.
    """
    file = data if data.is_file() else next(find_files(data, (".csv", ".tsv")), None)
    if file is None:
        return {}
    expected = {name: usual.get(name) or find("data", "csv").model_fields[name].default for name in DIALECT[:2]}
    found = dialect_of(file, **expected, said=said)
    return {name: value for name, value in found.items() if value != expected[name]}


def kind_of(data: Path) -> str:
    """The kind of data that reads the file or folder ``data``.

    Raises:
        DataError: it is of no known format; the message lists the endings that are known.
    """
    suffixes = {kind: getattr(find("data", kind), "suffixes", ()) for kind in kinds("data")}
    known = {suffix: kind for kind, endings in suffixes.items() for suffix in endings}
    if data.is_file():
        seen = [data.suffix.lower()]
    else:
        if "maildir" in suffixes and any(path.is_dir() for path in (data / "cur", *data.glob("*/cur"))):
            return "maildir"
        seen = [suffix for suffix, _ in Counter(file.suffix.lower() for file in find_files(data)).most_common()]
    for suffix in seen:
        if suffix in known:
            return known[suffix]
    what = f"ends in {data.suffix!r}" if data.is_file() else "has no file of a known format"
    raise DataError(
        f"{str(data)!r} {what}; known endings: {', '.join(sorted(known))}. Give it the right ending, or name the kind."
    )


def find_files(folder: Path, suffixes: tuple[str, ...] = ()) -> Iterator[Path]:
    """The files in ``folder`` at any depth, those with one of ``suffixes`` where some are given."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (not suffixes or file.suffix.lower() in suffixes):
            yield file
