"""Which files a path means: one file, a folder, a glob, or a template whose named fields become columns.

``mail/{user}/{label}.mbox`` finds ``mail/kitchen/spam.mbox`` and gives its rows ``user = kitchen``, ``label = spam``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from nlptl.contracts import Quarantine, Source
from nlptl.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

FILE, LINE = "__file__", "__line__"
"""The columns that say where a row stood."""

_FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")
_TOKEN = re.compile(r"\{(?P<field>[A-Za-z_]\w*)\}|(?P<deep>\*\*/?)|(?P<star>\*)|(?P<one>\?)|(?P<set>\[[^]/]+\])")
_LISTED = 8


def _path_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


PathText = Annotated[str, BeforeValidator(_path_text)]
"""A path in a recipe; notebooks may pass a ``pathlib.Path``."""


@dataclass(frozen=True)
class Found:
    """One file (or folder, for a maildir) that a path means, with the values of the template's fields."""

    path: Path
    fields: dict[str, str]


class FileSource(Source):
    """What all kinds that read files share. A subclass says which suffixes count in a folder and reads one file."""

    path: PathText = Field(description="A file, a folder, a glob, or a template such as mail/{user}/{label}.mbox.")

    suffixes: ClassVar[tuple[str, ...]] = ()

    def files(self) -> list[Found]:
        """The files that ``path`` means, sorted by name, each once.

        Raises:
            DataError: there is none; the message holds the absolute path and what the folder has.
        """
        found: dict[Path, Found] = {}
        for match in expand(self.path):
            inside = self.inside(match.path) if match.path.is_dir() else [match.path]
            found.update((file, Found(file, match.fields)) for file in inside)
        if not found:
            raise _nothing(self.path, self.suffixes)
        return [found[file] for file in sorted(found, key=Path.as_posix)]

    def size(self) -> int:
        """Bytes of all files."""
        return sum(found.path.stat().st_size for found in self.files())

    def inside(self, folder: Path) -> Iterator[Path]:
        """The files of this kind at any depth of ``folder``; hidden ones do not count."""
        for file in folder.rglob("*"):
            hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
            if file.suffix.lower() in self.suffixes and not hidden and file.is_file():
                yield file

    def stream(
        self, file: Path, quarantine: Quarantine, wanted: frozenset[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows of one file one after another, in flat memory: (line, cells by column). What cannot be read goes to
        ``quarantine`` before the row behind it is given; columns that are not ``wanted`` may be left out."""
        raise NotImplementedError

    def rows(self, file: Path, quarantine: Quarantine) -> pd.DataFrame:
        """The rows of one file: its columns and ``__line__``."""
        import pandas as pd

        numbers, kept = [], []
        for line, cells in self.stream(file, quarantine):
            numbers.append(line)
            kept.append(cells)
        # object: whole numbers beside a null would become floats, and long ids lose digits
        return pd.DataFrame(kept, dtype=object).assign(**{LINE: numbers})

    def each(self, quarantine: Quarantine, wanted: frozenset[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows of all files as ``stream`` gives them, with the template's fields among the cells."""
        for found in self.files():
            clash = bool(found.fields)
            with readable(found.path):
                for _, cells in self.stream(found.path, quarantine, wanted):
                    if clash:
                        self.refuse_clash(found, cells)
                        clash = False  # the rows of a file have the same columns
                    yield {**cells, **found.fields}

    def refuse_clash(self, found: Found, columns: Iterable[str]) -> None:
        """No column may come both from the path and from the file.

        Raises:
            DataError: one does.
        """
        clash = sorted(set(found.fields) & set(columns))
        if clash:
            raise DataError(f"{found.path} has a column {clash[0]!r}, which data.path {self.path!r} sets as well.")

    def frame(self, quarantine: Quarantine) -> pd.DataFrame:
        """The rows of all files, one after the other, with the template's fields as columns."""
        from nlptl.data._tables import stacked

        tables = []
        for found in self.files():
            with readable(found.path):
                table = self.rows(found.path, quarantine)
            self.refuse_clash(found, table.columns)
            tables.append(table.assign(**found.fields, **{FILE: str(found.path)}))
        return stacked(tables)


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """What the file system says against ``file`` becomes a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {file.absolute()}: {error.strerror or error}.") from error


def expand(path: str) -> list[Found]:
    """The existing files and folders that ``path`` names, sorted; ``~`` is the home folder.

    Raises:
        DataError: nothing has that name; the message holds the absolute path and what the folder has.
    """
    literal = os.path.expanduser(path)
    if os.path.exists(literal):
        return [Found(Path(literal), {})]
    pattern = _FIELD.sub("*", literal)
    names = sorted(glob(pattern, recursive=True)) if has_magic(pattern) else []
    matcher = re.compile(_regex(Path(literal).as_posix()))
    found = []
    for name in names:
        match = matcher.fullmatch(Path(name).as_posix())
        if match:  # a field that stands twice must have one value
            found.append(Found(Path(name), match.groupdict()))
    if not found:
        raise _nothing(path, ())
    return found


def finds(path: str, file: Path) -> bool:
    """Whether ``path`` means ``file``, or would once that is there: it is one of the files, lies in one of the folders
    or, where ``path`` is a glob or a template, matches it.

    Raises:
        DataError: ``path`` means nothing yet.
    """
    own = file.resolve()
    if {match.path.resolve() for match in expand(path)} & {own, *own.parents}:
        return True
    literal, written = os.path.expanduser(path), Path(os.path.abspath(file))
    template = re.compile(_regex(Path(os.path.abspath(literal)).as_posix()))
    matched = (template.fullmatch(each.as_posix()) for each in (written, *written.parents))
    return not os.path.exists(literal) and any(matched)


def _regex(template: str) -> str:
    """A glob with named fields as a regular expression with named groups."""
    parts, end, seen = [], 0, set()
    for token in _TOKEN.finditer(template):
        parts.append(re.escape(template[end : token.start()]))
        end, kind, field = token.end(), token.lastgroup, token["field"]
        if kind == "field":
            parts.append(f"(?P={field})" if field in seen else f"(?P<{field}>[^/]+)")
            seen.add(field)
        elif kind == "deep":
            parts.append(r"(?:.*/)?" if token[0].endswith("/") else ".*")
        elif kind == "set":
            parts.append(re.sub(r"^\[!", "[^", token[0]).replace("\\", r"\\"))
        else:
            parts.append("[^/]*" if kind == "star" else "[^/]")
    return "".join(parts) + re.escape(template[end:])


def _nothing(path: str, suffixes: tuple[str, ...]) -> DataError:
    """The error for a path that means no file: where we looked, and what is there instead."""
    absolute = Path(os.path.expanduser(path)).absolute()
    fixed = absolute
    while has_magic(_FIELD.sub("*", str(fixed))) or not fixed.is_dir():
        fixed = fixed.parent
    names = sorted(os.listdir(fixed))
    more = f", … ({len(names)} in all)" if len(names) > _LISTED else ""
    there = ", ".join(names[:_LISTED]) + more if names else "nothing"
    wanted = f" with {' or '.join(suffixes)} files" if suffixes and absolute.is_dir() else ""
    return DataError(f"no file{wanted} at data.path {absolute}; folder {fixed} has: {there}.")
