"""How files that no recipe describes are to be read: judged by their names and, for CSV, their first lines."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlptl.data._files import FileSource, expand
from nlptl.errors import DataError, RecipeError
from nlptl.recipe import Recipe
from nlptl.recipe.file import laid_over
from nlptl.registry import find, kinds

DELIMITERS = ",;\t|"
START = 1 << 16
"""Bytes of a CSV file that are looked at."""
DIALECT = ("delimiter", "encoding", "quote")
"""What files of one origin have in common, of kind csv."""


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
    document = laid_over({"data": settings, "heads": {"answer": {"kind": "linear"}}}, overrides, path)
    source = Recipe.model_validate(document.root.plain(), context=document).first_source
    if not isinstance(source, FileSource):
        raise RecipeError(f"data.kind={kind} reads no files; name one that reads {path}.")
    return source


def _dialect(data: Path, like: Mapping[str, str | None], said: Mapping[str, str]) -> dict[str, Any]:
    """The dialect of the data that it is like, but another delimiter where its header has only one column by that."""
    settings = {name: like[name] for name in DIALECT if name in like and name not in said}
    file = data if data.is_file() else next(find_files(data, (".csv", ".tsv")), None)
    if "delimiter" not in said and file is not None:
        with file.open("rb") as stream:
            start = stream.read(START).decode("utf-8", "replace").replace("\0", "")  # delimiters are ASCII
        settings["delimiter"] = delimiter_of(start, settings.get("delimiter") or ",")
    return settings


def delimiter_of(start: str, usual: str = ",") -> str:
    """What stands between the cells of a CSV file's ``start``: ``usual``, unless the header has only one column so."""
    header = start.removeprefix("\ufeff").partition("\n")[0].rstrip("\r")
    if len(next(csv.reader([header], delimiter=usual), [])) > 1:
        return usual
    found = Counter(character for character in header if character in DELIMITERS)
    return found.most_common(1)[0][0] if found else usual


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
