"""Dates of many makes as Unix seconds."""

from __future__ import annotations

from datetime import date, datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any


def seconds(value: Any) -> float | None:
    """Unix seconds of an ISO 8601 or RFC 2822 date, a datetime, or a number; None where it is none of them.

    A date without a time zone is taken for UTC.
    """
    if isinstance(value, bool):
        return None
    if hasattr(value, "to_pydatetime"):  # a pandas Timestamp
        value = value.to_pydatetime()
    if isinstance(value, datetime):
        return _stamp(value)
    if isinstance(value, date):
        return _stamp(datetime(value.year, value.month, value.day))
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return _stamp(parse(str(value).strip().replace("Z", "+00:00")))
        except (TypeError, ValueError, IndexError, OverflowError):
            continue
    return None


def _stamp(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
