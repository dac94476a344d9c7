"""From raw tables to the rows that the toolkit sees: the checks that all kinds share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nlptl.contracts import Head, Quarantine, Source
from nlptl.data._dates import seconds
from nlptl.data._files import FILE, LINE
from nlptl.errors import DataError, nearest

if TYPE_CHECKING:
    from datasets import Dataset

Mask = npt.NDArray[np.bool_]

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "validate", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
    "unlabelled": ("unlabelled", "unlabeled", "unsupervised", "unlabel"),
}
"""The split's name here, and what data sets call it."""

_SPLIT_OF = {synonym: name for name, synonyms in SPLITS.items() for synonym in synonyms}
_SHOWN = 3


def read(data: Source | Mapping[str, Source], heads: Mapping[str, Head], quarantine: Quarantine) -> Dataset:
    """All rows of the recipe's source or sources.

    Returns:
        A data set with ``text``, ``text_pair`` (where any source names one), a column for each task, named as the task
        (a label, a list of labels where multilabel, null where unlabelled), ``domain``, ``time`` (Unix seconds) and
        ``split`` where any source has them, and a unique ``id``. Labels that are not text become text: 1 is "1", 1.0 is
        "1", true is "true". Without an id column, ids are hashes of domain and text, so that the same rows have the
        same ids in any order and format.

    Raises:
        DataError: a source or column is absent, no row is left, or more rows are rejected than the source allows.
    """
    from datasets import Dataset

    sources = {"all": data} if isinstance(data, Source) else data
    named = not isinstance(data, Source)
    tables = [_source(name, source, heads, quarantine, named=named) for name, source in sources.items()]
    table = pd.concat(tables, ignore_index=True)
    if not len(table):
        raise DataError("no row is left to read: " + _reasons(quarantine, 0))
    table = _with_ids(table, quarantine)
    if "text_pair" in table:
        table["text_pair"] = table["text_pair"].fillna("")
    order = [name for name in ("id", "text", "text_pair", *heads, "domain", "time", "split") if name in table]
    columns = {name: table[name].tolist() for name in order}
    return Dataset.from_dict({name: _nulls(values) for name, values in columns.items()})


def fingerprint(dataset: Dataset) -> str:
    """A hash of the rows' content, the same whatever their order, for the record of a run."""
    digests = [
        hashlib.blake2b(repr(sorted(row.items())).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for row in dataset.with_format(None)
    ]
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def _source(
    name: str, source: Source, heads: Mapping[str, Head], quarantine: Quarantine, *, named: bool
) -> pd.DataFrame:
    """One source's good rows under the toolkit's own column names."""
    before = len(quarantine)
    raw = source.frame(quarantine).reset_index(drop=True)
    in_all = len(raw) + len(quarantine) - before
    _check_columns(name if named else source.kind, source, heads, raw)
    good = _Rows(raw, quarantine)
    text = good.cleaned(raw[source.text])
    good.keep(text.notna().to_numpy(), lambda row: "no text")
    table = pd.DataFrame({"text": text})
    if source.text_pair:
        table["text_pair"] = good.cleaned(raw[source.text_pair])
    for task, head in heads.items():
        table[task] = _labels(good, raw[head.column or task], head)
    split_name = _SPLIT_OF.get(name.lower()) if named else None
    table["domain"] = _domains(raw, source, "all" if split_name or not named else name)
    if source.time:
        table["time"] = _times(good, raw[source.time])
    if source.split:
        table["split"] = _splits(good, raw[source.split])
    elif split_name:
        table["split"] = split_name
    table["id"] = raw[source.id].map(_text) if source.id else None
    if source.id:
        good.keep(table["id"].notna().to_numpy(), lambda row: f"no {source.id}")
    table[[FILE, LINE]] = raw[[FILE, LINE]]
    rejected = len(quarantine) - before
    if rejected > source.max_rejected * max(in_all, 1):
        raise DataError(
            f"{rejected} of {in_all} rows were rejected, more than data.max_rejected "
            f"({source.max_rejected:g} of them) allows: {_reasons(quarantine, before)} "
            "Mend the data, or raise data.max_rejected."
        )
    return table[good.mask].reset_index(drop=True)


class _Rows:
    """Which rows are still good; the others go to the quarantine with file, line and reason, once each."""

    def __init__(self, raw: pd.DataFrame, quarantine: Quarantine) -> None:
        self._raw, self._quarantine = raw, quarantine
        self.mask: Mask = np.ones(len(raw), dtype=bool)

    def keep(self, good: Mask, reason: Callable[[int], str]) -> None:
        """Reject the rows that are not ``good``; ``reason`` says why, by row number."""
        for row in np.flatnonzero(self.mask & ~good):
            place = self._raw.iloc[row]
            self._quarantine.reject(str(place[FILE]), int(place[LINE]), reason(int(row)))
        self.mask &= good

    @staticmethod
    def cleaned(values: pd.Series[Any]) -> pd.Series[Any]:
        """Texts; null where there is nothing but space."""
        texts = [_text(value) for value in values]
        return pd.Series([text if text and text.strip() else None for text in texts], values.index, dtype=object)


def _check_columns(name: str, source: Source, heads: Mapping[str, Head], raw: pd.DataFrame) -> None:
    columns = [str(column) for column in raw.columns if column not in (FILE, LINE)]
    wanted = {
        f"data.{field}": getattr(source, field) for field in ("text", "text_pair", "domain", "time", "id", "split")
    } | {f"heads.{task}.column": head.column or task for task, head in heads.items()}
    problems = [
        f"{place}: no column {column!r}{nearest(column, columns)}"
        for place, column in wanted.items()
        if column is not None and column not in columns
    ]
    if problems:
        raise DataError(f"source {name!r}: {'; '.join(problems)} Its columns: {', '.join(columns)}.")


def _labels(good: _Rows, values: pd.Series[Any], head: Head) -> pd.Series[Any]:
    """Labels as text, or lists of them; null where there is none. Labels that the head does not know are rejected."""
    found = values.map(lambda value: _label_list(value, head.separator)) if head.multilabel else values.map(_label)
    if head.labels is not None:
        known = set(head.labels)

        def unknown(labels: Any) -> list[str]:
            if _is_null(labels):
                return []
            return [label for label in (labels if head.multilabel else [labels]) if label not in known]

        strange = found.map(unknown)
        choices = ", ".join(head.labels)
        good.keep(
            ~strange.map(bool).to_numpy(dtype=bool), lambda row: f"label {strange[row][0]!r} is none of {choices}"
        )
    return found.astype(object)


def _domains(raw: pd.DataFrame, source: Source, default: str) -> pd.Series[Any]:
    if source.domain is None:
        return pd.Series(default, index=raw.index, dtype=object)
    return raw[source.domain].map(_text).fillna("(none)")


def _times(good: _Rows, values: pd.Series[Any]) -> pd.Series[Any]:
    found = values.map(lambda value: None if _is_null(value) else seconds(value))
    broken = values.map(lambda value: not _is_null(value)) & found.isna()
    good.keep(~broken.to_numpy(dtype=bool), lambda row: f"cannot read the date {str(values[row])[:40]!r}")
    return found.astype(float)


def _splits(good: _Rows, values: pd.Series[Any]) -> pd.Series[Any]:
    found = values.map(lambda value: _SPLIT_OF.get((_text(value) or "train").strip().lower()))
    good.keep(found.notna().to_numpy(), lambda row: f"split {values[row]!r} is none of {', '.join(SPLITS)}")
    return found


def _with_ids(table: pd.DataFrame, quarantine: Quarantine) -> pd.DataFrame:
    """Made ids for rows that have none; rows that repeat a given id are rejected."""
    given = table["id"].notna()
    repeated = given & table["id"].duplicated()
    for _, row in table[repeated].iterrows():
        quarantine.reject(str(row[FILE]), int(row[LINE]), f"id {row['id']!r} was there before")
    made: Counter[str] = Counter()

    def content_id(domain: str, text: str, pair: object) -> str:
        content = "\x1f".join((domain, text, "" if _is_null(pair) else str(pair)))
        digest = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        made[digest] += 1
        return digest if made[digest] == 1 else f"{digest}-{made[digest]}"

    pairs = table["text_pair"] if "text_pair" in table else [None] * len(table)
    ids = [
        str(own) if has else content_id(domain, text, pair)
        for own, has, domain, text, pair in zip(
            table["id"], given, table["domain"], table["text"], pairs, strict=True
        )
    ]
    return table.assign(id=ids)[~repeated].drop(columns=[FILE, LINE]).reset_index(drop=True)


def _reasons(quarantine: Quarantine, since: int) -> str:
    """The most frequent reasons since a point, each with an example."""
    late = quarantine.rejections[since:]
    counts = Counter(rejection.reason for rejection in late)
    examples = {rejection.reason: rejection for rejection in reversed(late)}
    return " ".join(
        f"{count} × {reason} (such as {examples[reason].file}:{examples[reason].line})."
        for reason, count in counts.most_common(_SHOWN)
    )


def _is_null(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _text(value: Any) -> str | None:
    """A cell as text; whole floats lose their ``.0``, which a null elsewhere in the column gave them."""
    if isinstance(value, str):
        return value
    if _is_null(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _label(value: Any) -> str | None:
    text = _text(value)
    return text.strip() or None if text is not None else None


def _label_list(value: Any, separator: str) -> list[str] | None:
    if isinstance(value, (list, tuple, np.ndarray)):
        return [label for label in map(_label, value) if label is not None]
    text = _text(value)
    if text is None or not text.strip():
        return None
    return [part.strip() for part in text.split(separator) if part.strip()]


def _nulls(values: Sequence[Any]) -> list[Any]:
    """Nulls of any kind as None; lists stay as they are."""
    return [None if not isinstance(value, list) and _is_null(value) else value for value in values]
