"""Dates of many makes as Unix seconds."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

_UTC = re.compile(r"\s*(?:Z|UTC)$", re.IGNORECASE)
_OFFSET = re.compile(r"(\d)\s*([+-]\d\d):?(\d\d)$")


def seconds(value: Any) -> float | None:
    """Unix seconds of an ISO 8601 or RFC 2822 date, a datetime, or a number; None where it is none of them.

    A number, as text too, is Unix seconds. A date without a time zone is taken for UTC. Dates such as 3/4/2001, which
    mean different days in different countries, are not read.
    """
    if isinstance(value, bool):
        return None
    try:
        if hasattr(value, "to_pydatetime"):  # a pandas Timestamp
            value = value.to_pydatetime(warn=False)
        if isinstance(value, datetime):
            return _stamp(value)
        if isinstance(value, date):
            return _stamp(datetime(value.year, value.month, value.day))
        number = float(value)
        return number if math.isfinite(number) else None
    except (TypeError, ValueError, OverflowError):
        pass
    text = str(value).strip()
    for parse in (_iso, parsedate_to_datetime):
        try:
            return _stamp(parse(text))
        except (TypeError, ValueError, IndexError, OverflowError):
            continue
    return None


def _iso(text: str) -> datetime:
    """As ``fromisoformat``, with the endings that Python 3.10 does not read: Z, UTC, +0100, and a space before them."""
    return datetime.fromisoformat(_OFFSET.sub(r"\1\2:\3", _UTC.sub("+00:00", text)) if ":" in text else text)


def _stamp(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
