"""One cell of any source → what the toolkit's column of that name holds, or the reason why it cannot.

Labels, domains, splits and ids are names. Names that are not text become text: 1 and 1.0 are "1", 0.5 is "0.5", true is
"true". The text "nan" is a name like any other; the number NaN, an empty text and null are no name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nlptl.data._dates import seconds
from nlptl.errors import nearest

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "validate", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
    "unlabelled": ("unlabelled", "unlabeled", "unsupervised", "unlabel"),
}
"""The split's name here, and what data sets call it."""

SPLIT_OF = {synonym: name for name, synonyms in SPLITS.items() for synonym in synonyms}

NO_DOMAIN = "(none)"
"""The domain of rows that have none where others have one."""


class Refused(Exception):
    """Why a row cannot be used, as ``what: detail``; rows are counted by ``what``."""


def is_null(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, NaT or NA."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, float | np.floating | np.datetime64) and bool(value != value)


def as_name(value: Any) -> str | None:
    """A label, domain or id as text without space around it; None where there is none."""
    if not isinstance(value, str):
        if is_null(value):
            return None
        value = _scalar_text(value)
    return _encodable(value.strip()) or None


def as_text(value: Any) -> str:
    """A text that says something, as it stands."""
    if is_null(value):
        raise Refused("no text")
    text = _encodable(value if isinstance(value, str) else _scalar_text(value))
    if not text or text.isspace():
        raise Refused("no text")
    return text


def as_pair(value: Any) -> str:
    """The second text; it may be empty."""
    return "" if is_null(value) else _encodable(value if isinstance(value, str) else _scalar_text(value))


def as_label(value: Any, choices: frozenset[str] | None) -> str | None:
    """A label out of ``choices`` (none: any); None where the row has none."""
    label = as_name(value)
    if choices is not None and label is not None and label not in choices:
        raise _unknown("label", label, choices)
    return label


def as_labels(value: Any, separator: str, choices: frozenset[str] | None) -> list[str] | None:
    """The labels of a multilabel cell, each once: a list, or a text split at ``separator``.

    None and an empty text are a row without labels given; an empty list is a row known to have none of them.
    """
    if isinstance(value, str):
        parts: Any = value.split(separator)
        if not value.strip():
            return None
    elif isinstance(value, list | tuple | np.ndarray):
        parts = value
    else:
        parts = [value]
        if is_null(value):
            return None
    labels = (as_label(part, choices) for part in parts)
    return list(dict.fromkeys(label for label in labels if label is not None))


def as_split(value: Any) -> str | None:
    """An official split under its name here; None where the row's is not known."""
    name = as_name(value)
    if name is None:
        return None
    if name.lower() not in SPLIT_OF:
        raise _unknown("split", name, SPLITS)
    return SPLIT_OF[name.lower()]


def as_time(value: Any) -> float | None:
    """A date as Unix seconds; None where there is none."""
    if is_null(value) or (isinstance(value, str) and not value.strip()):
        return None
    found = seconds(pd.Timestamp(value) if isinstance(value, np.datetime64) else value)
    if found is None:
        raise Refused(f"unparsable date: {str(value)[:40]!r}")
    return found


def _scalar_text(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, list | tuple | set | dict | bytes | np.ndarray):
        raise Refused(f"not text: {type(value).__name__}")
    return str(value)


def _encodable(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Refused(f"broken encoding: half a surrogate pair at character {error.start + 1}") from None
    return text


def _unknown(what: str, name: str, choices: Any) -> Refused:
    shown = ", ".join(sorted(choices)[:20]) + (", …" if len(choices) > 20 else "")
    return Refused(f"{what} not among {shown}: {name!r}{nearest(name, choices)}")
