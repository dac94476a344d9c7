"""What the columns of an unknown table seem to hold: its text, labels, domains, times, ids and splits."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlptl.data._cells import SPLIT_OF, Refused, as_name
from nlptl.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

NAMES = {
    "text": "text body content message sentence review mail email tweet comment document question utterance sms",
    "text_pair": "text_pair text2 sentence2 hypothesis answer",
    "label": "label labels class category target sentiment intent spam is_spam y tag rating topic",
    "domain": "domain user mailbox owner account author product customer client source site group",
    "time": "time date timestamp datetime created_at created sent_at sent opened received posted published submitted "
    "reported logged occurred updated modified closed resolved",
    "id": "id uuid guid row_id message_id ticket case reference ref key",
    "split": "split set partition fold",
}
"""Names that columns of each role go by, likeliest first."""

DATED = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})\b"
"""How a cell begins that is a date whatever its column is called."""
LONG_WORDS = 96
"""Words from which a text is likely to exceed 128 tokens."""
LOOKED_AT = 2000
"""Rows that the guesses about values are made from."""


@dataclass(frozen=True)
class Columns:
    """The column of each role, None where no column seems to have it."""

    text: str
    text_pair: str | None
    label: str | None
    domain: str | None
    time: str | None
    id: str | None
    split: str | None


def guess(table: pd.DataFrame) -> Columns:
    """The likeliest column of each role, each column in one role.

    Raises:
        DataError: no column holds text.
    """
    free = [str(column) for column in table.columns if not str(column).startswith("__")]

    def take(role: str, fits: Callable[[pd.Series[Any]], bool], otherwise: str | None = None) -> str | None:
        named = [column for column in _named(role, free) if fits(table[column])]
        found = named[0] if named else otherwise
        if found is not None:
            free.remove(found)
        return found

    split = take("split", _holds_splits)
    time = take("time", _holds_times, next((column for column in free if _holds_dates(table[column])), None))
    text = take("text", _holds_text, _longest_text(table, free))
    if text is None:
        columns = ", ".join(str(column) for column in table.columns if not str(column).startswith("__"))
        raise DataError(f"no column seems to hold text; the columns are: {columns}.")
    text_pair = take("text_pair", _holds_text)
    row_id = take("id", _holds_ids)
    domain = take("domain", lambda column: 2 <= _distinct(column) <= len(column) / 5)
    label = take("label", lambda column: 2 <= _distinct(column) <= 300, _fewest_values(table, free))
    return Columns(text, text_pair, label, domain, time, row_id, split)


def counts(column: pd.Series[Any]) -> dict[str, int]:
    """How often each name occurs, made as the reader makes it, most frequent first; cells without one do not count."""
    return dict(Counter(_names(column)).most_common())


def _names(column: pd.Series[Any]) -> Iterator[str]:
    for value in column:
        with suppress(Refused):
            name = as_name(value)
            if name is not None:
                yield name


def share_long(column: pd.Series[Any]) -> float:
    """Share of texts of more than ``LONG_WORDS`` words."""
    words = column.dropna().astype(str).head(LOOKED_AT * 5).str.count(r"\S+")
    return float((words > LONG_WORDS).mean()) if len(words) else 0.0


def _named(role: str, columns: list[str]) -> list[str]:
    """The columns whose name is one of the role's, whole or as one of its words, likeliest first."""
    names = NAMES[role].split()
    words = {column: re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.strip()) for column in columns}  # createdAt
    plain = {column: re.sub(r"\W+", "_", name.lower()) for column, name in words.items()}
    whole = sorted((c for c in columns if plain[c] in names), key=lambda c: names.index(plain[c]))
    part = [c for c in columns if c not in whole and set(plain[c].split("_")) & set(names)]
    return [*whole, *part]


def _distinct(column: pd.Series[Any]) -> int:
    return len(counts(column.head(LOOKED_AT * 10)))


def _is_text(column: pd.Series[Any]) -> bool:
    filled = column.dropna().head(LOOKED_AT)
    return bool(len(filled)) and bool(filled.map(lambda value: isinstance(value, str)).all())


def _holds_text(column: pd.Series[Any]) -> bool:
    """Texts rather than labels: they differ, and most have several words."""
    if not _is_text(column):
        return False
    values = column.dropna().head(LOOKED_AT)
    return values.nunique() > len(values) / 3 and float((values.str.count(r"\S+") > 1).mean()) > 0.5


def _longest_text(table: pd.DataFrame, columns: list[str]) -> str | None:
    lengths = {c: table[c].dropna().head(LOOKED_AT).str.len().mean() for c in columns if _holds_text(table[c])}
    return max(lengths, key=lengths.__getitem__, default=None)


def _fewest_values(table: pd.DataFrame, columns: list[str]) -> str | None:
    """A column of few, often repeated values, as labels are."""
    few = {column: _distinct(table[column]) for column in columns}
    few = {column: n for column, n in few.items() if 2 <= n <= min(50, len(table) / 5)}
    return min(few, key=few.__getitem__, default=None)


def _holds_splits(column: pd.Series[Any]) -> bool:
    found = {value.lower() for value in counts(column)}
    return bool(found) and found <= SPLIT_OF.keys()


def _holds_ids(column: pd.Series[Any]) -> bool:
    """One name a row, without space in it, each once."""
    names = column.dropna().astype(str).str.strip()
    return len(names) == len(column) and names.is_unique and not bool(names.str.contains(r"\s").any())


def _holds_dates(column: pd.Series[Any]) -> bool:
    """Times that look like such."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    dated = column.dropna().head(LOOKED_AT).astype(str).str.strip().str.match(DATED)
    return bool(len(dated)) and float(dated.mean()) > 0.9 and _holds_times(column)


def _holds_times(column: pd.Series[Any]) -> bool:
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    values = column.dropna().head(LOOKED_AT).astype(str)
    if not len(values) or not float(values.str.contains(r"\d\D\d").mean()) > 0.9:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns where it must guess the format
        parsed = pd.to_datetime(values, errors="coerce", utc=True, format="mixed")
    return float(parsed.notna().mean()) > 0.9
