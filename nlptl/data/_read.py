"""From raw tables to the rows that the toolkit sees: the checks that all kinds share."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Any

from nlptl.contracts import Head, Quarantine, Rejection, Source
from nlptl.data import _cells
from nlptl.data._files import FILE, LINE
from nlptl.data._ids import fill_ids
from nlptl.errors import DataError, RecipeError, nearest
from nlptl.recipe.rules_labels import RESERVED

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset, Features

_SHOWN = 3
_BATCH = 10_000

Convert = Callable[[Any], Any]
Columns = dict[str, list[Any]]


def read(data: Source | Mapping[str, Source], heads: Mapping[str, Head], quarantine: Quarantine) -> Dataset:
    """All rows of the recipe's source or sources; refused ones go to ``quarantine`` with file, line and reason.

    Returns:
        A data set with these columns, those in brackets only where any source names them:
        ``text``; [``text_pair``] (may be empty); a column for each task, named as the task: a label, a list of labels
        for a multilabel task, null where unlabelled; ``domain``: its column's value, ``(none)`` where that is null,
        else the source's name in a mapping, else ``all``; [``time``]: Unix seconds (float64) or null; [``split``]:
        train, validation, test, unlabelled or null, also where all names of a mapping are names of splits; ``id``:
        unique (``_ids``). In a mapping, some sources may lack a task's column.

    Raises:
        RecipeError: a task has the name of one of the other columns.
        DataError: a source or column is absent, a source is empty, or more rows are rejected than it allows.
    """
    from datasets import Dataset

    clash = sorted(set(heads) & set(RESERVED))
    if clash:
        raise RecipeError(f"heads.{clash[0]}: no task can be named {clash[0]!r}, a column of every data set.")
    reader = _Reader(heads, quarantine)
    if isinstance(data, Source):
        parts = [reader.rows("data", data, domain="all")]
    else:
        splits = [_cells.SPLIT_OF.get(name.lower()) for name in data]
        official = all(splits)
        parts = [
            reader.rows(
                f"data.{name}", source, domain="all" if official else name, split=split if official else None, many=True
            )
            for (name, source), split in zip(data.items(), splits, strict=True)
        ]
        reader.refuse_columns_found_nowhere()
    columns = _joined(parts)
    columns["id"] = fill_ids(columns)
    order = [name for name in ("id", "text", "text_pair", *heads, "domain", "time", "split") if name in columns]
    return Dataset.from_dict({name: columns[name] for name in order}, features=_features(order, heads))


def fingerprint(dataset: Dataset) -> str:
    """A hash of the rows' content, the same whatever their order, for the record of a run."""
    names = sorted(dataset.column_names)
    digests = []
    for start in range(0, len(dataset), _BATCH):
        batch = dataset.with_format(None)[start : start + _BATCH]
        for row in zip(*(batch[name] for name in names), strict=True):
            digests.append(hashlib.blake2b(json.dumps(row).encode(), digest_size=16).digest())
    total = hashlib.sha256(json.dumps(names).encode())
    for digest in sorted(digests):
        total.update(digest)
    return total.hexdigest()


@dataclass
class _Reader:
    """Reads sources one after another; what has to be known across them stands here."""

    heads: Mapping[str, Head]
    quarantine: Quarantine
    ids: set[str] = field(default_factory=set)
    """Given ids so far."""
    tasks: set[str] = field(default_factory=set)
    """Tasks whose column was found."""
    seen: dict[str, None] = field(default_factory=dict)
    """All columns found, in order."""

    def rows(self, place: str, source: Source, *, domain: str, split: str | None = None, many: bool = False) -> Columns:
        """One source's good rows under the toolkit's own column names; ``id`` is null where it is to be made."""
        before = len(self.quarantine)
        raw = source.frame(self.quarantine)
        raw.columns = raw.columns.map(str)
        total = len(raw) + len(self.quarantine) - before
        if not total:
            raise DataError(f"{place} (kind {source.kind!r}) has no rows{_where(source)}.")
        if not len(raw):
            raise self._too_many(place, source, before, total)
        self._check_columns(place, source, raw, many=many)

        columns: Columns = {}
        refused: dict[int, str] = {}
        for name, column, convert in self._wanted(place, source, raw):
            columns[name] = _converted(raw[column].tolist(), convert, refused)
        for task in self.heads:
            columns.setdefault(task, [None] * len(raw))
        named = columns.get("domain", [domain] * len(raw))
        columns["domain"] = [_cells.NO_DOMAIN if name is None else name for name in named]
        if split and "split" not in columns:
            columns["split"] = [split] * len(raw)
        columns["id"] = self._given_ids(columns.get("id"), len(raw), refused, source.id)

        self._reject(raw, source, refused)
        if len(self.quarantine) - before > source.max_rejected * total:
            raise self._too_many(place, source, before, total)
        if len(refused) == len(raw):
            rejections = self.quarantine.rejections[before:]
            raise DataError(f"{place}: no row is left. {reasons(rejections)}.{_other_splits(place, rejections)}")
        good = [row not in refused for row in range(len(raw))]
        return {name: list(compress(cells, good)) for name, cells in columns.items()}

    def refuse_columns_found_nowhere(self) -> None:
        """Of a mapping of sources, at least one must have each task's column."""
        for task, head in self.heads.items():
            if task not in self.tasks and must_be_there(head):
                column = head.column or task
                raise DataError(
                    f"no source of data has a column {column!r} (heads.{task}.column)"
                    f"{nearest(column, self.seen) or '.'} Columns: {', '.join(self.seen)}."
                )

    def _check_columns(self, place: str, source: Source, raw: pd.DataFrame, *, many: bool) -> None:
        columns = [name for name in raw.columns if name not in (FILE, LINE)]
        self.seen.update(dict.fromkeys(columns))
        wanted = {f"{place}.{name}": getattr(source, name) for name in RESERVED}
        heads = self._heads_of(place)
        labels = {f"heads.{task}.column": head.column or task for task, head in heads.items() if must_be_there(head)}
        self.tasks.update(task for task, head in heads.items() if (head.column or task) in columns)
        needed = {f"heads.{task}.column": head.column or task for task, head in heads.items() if head.source}
        problems = []
        for key, column in (wanted | needed if many else wanted | labels).items():
            if column is not None and column not in columns:
                problems.append(f"no column {column!r} ({key}){nearest(column, columns)}")
        if problems:
            mistakes = "; ".join(problem.removesuffix("?") for problem in problems)
            end = "?" if problems[-1].endswith("?") else "."
            raise DataError(f"{place}{_where(source)}: {mistakes}{end} Its columns: {', '.join(columns)}.")
        twice = [name for name in {*wanted.values(), *labels.values()} if columns.count(name) > 1]
        if twice:
            raise DataError(f"{place}{_where(source)} has two columns {sorted(twice)[0]!r}; rename one of them.")

    def _heads_of(self, place: str) -> dict[str, Head]:
        """The tasks whose labels may stand in the source at ``place``."""
        return {task: head for task, head in self.heads.items() if head.source in (None, place.removeprefix("data."))}

    def _wanted(self, place: str, source: Source, raw: pd.DataFrame) -> Iterator[tuple[str, str, Convert]]:
        """(our name, the source's column, what makes a cell ours)."""
        converts: dict[str, Convert] = {
            "text": _cells.as_text, "text_pair": _cells.as_pair, "domain": _cells.as_name, "time": _cells.as_time,
            "split": _cells.as_split, "id": _cells.as_name,
        }  # fmt: skip
        for name, convert in converts.items():
            if getattr(source, name) is not None:
                yield name, getattr(source, name), convert
        for task, head in self._heads_of(place).items():
            choices = None if head.labels is None else frozenset(head.labels)
            if (head.column or task) in raw.columns:
                yield task, head.column or task, (
                    partial(_cells.as_labels, separator=head.separator, choices=choices)
                    if head.multilabel
                    else partial(_cells.as_label, choices=choices)
                )  # fmt: skip

    def _given_ids(
        self, given: list[str | None] | None, rows: int, refused: dict[int, str], column: str | None
    ) -> list[str | None]:
        if given is None:
            return [None] * rows
        for row, name in enumerate(given):
            if row in refused:
                continue
            if name is None:
                refused[row] = f"no id: column {column!r} is empty"
            elif name in self.ids:
                refused[row] = f"duplicate id: {name!r} stood in an earlier row"
            else:
                self.ids.add(name)
        return given

    def _reject(self, raw: pd.DataFrame, source: Source, refused: dict[int, str]) -> None:
        rows = sorted(refused)
        table = raw.iloc[rows]
        cells = zip(rows, table[FILE], table[LINE], table[source.text], strict=True)
        for row, file, line, text in cells:
            excerpt = text if isinstance(text, str) else ""
            self.quarantine.reject(str(file), int(line), refused[row], excerpt.encode(errors="replace").decode())

    def _too_many(self, place: str, source: Source, before: int, total: int) -> DataError:
        rejections = self.quarantine.rejections[before:]
        return DataError(
            f"{len(rejections)} of {total} rows of {place} ({len(rejections) / total:.1%}) cannot be used, more than "
            f"{place}.max_rejected = {source.max_rejected:g} allows. {reasons(rejections)}. "
            f"Mend the data, or raise {place}.max_rejected.{_other_splits(place, rejections)}"
        )


def must_be_there(head: Head) -> bool:
    """Whether the column of labels is needed: a head that knows its labels and needs no rows of them can do without."""
    return head.needs_labels or head.column is not None or head.labels is None


def _converted(cells: list[Any], convert: Convert, refused: dict[int, str]) -> list[Any]:
    """The cells made ours. Rows that cannot be are noted with their first reason."""
    made = []
    for row, cell in enumerate(cells):
        try:
            made.append(convert(cell))
        except _cells.Refused as why:
            refused.setdefault(row, str(why))
            made.append(None)
    return made


def _joined(parts: list[Columns]) -> Columns:
    """The parts one below the other; a column that a part lacks is null there, a text pair empty."""
    names = dict.fromkeys(name for part in parts for name in part)
    absent = {"text_pair": ""}
    return {
        name: [cell for part in parts for cell in part.get(name, [absent.get(name)] * len(part["text"]))]
        for name in names
    }


def _features(names: list[str], heads: Mapping[str, Head]) -> Features:
    from datasets import Features, List, Value

    types = {name: List(Value("string")) for name, head in heads.items() if head.multilabel}
    return Features({name: types.get(name, Value("float64" if name == "time" else "string")) for name in names})


def _where(source: Source) -> str:
    path = getattr(source, "path", None) or getattr(source, "name", None)
    return f" at {path}" if path else ""


def _other_splits(place: str, rejections: list[Rejection]) -> str:
    """What to do where rows are refused for splits of another kind than those we know."""
    if not any(rejection.reason.startswith("split not among") for rejection in rejections):
        return ""
    return f" Where its splits are of another kind, set {place}.split: null; scored rows are then drawn from all."


def reasons(rejections: list[Rejection]) -> str:
    """The most frequent reasons, each with its count and up to three examples."""
    counts = Counter(rejection.reason.partition(":")[0] for rejection in rejections)
    parts = []
    for what, count in counts.most_common(_SHOWN):
        alike = [rejection for rejection in rejections if rejection.reason.partition(":")[0] == what][:_SHOWN]
        examples = "; ".join(f"{one.file}:{one.line}{one.reason.removeprefix(what)}" for one in alike)
        parts.append(f"{count} × {what} ({examples})")
    return "Most frequent: " + ", ".join(parts) if parts else "None was rejected"
