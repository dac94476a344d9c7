"""From texts to be answered, and back to a table of answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from nlptl.contracts import Floats, Ints, Task
from nlptl.contracts.anomaly import COLUMNS
from nlptl.errors import DataError
from nlptl.evaluate.calibrate import Calibration
from nlptl.saved.anomaly import Gauge

if TYPE_CHECKING:
    import pandas as pd

K = TypeVar("K", bound=Hashable)


def listed(texts: Sequence[str]) -> list[str]:
    """The texts as a list.

    Raises:
        DataError: they are one string, or hold something else than strings.
    """
    if isinstance(texts, str):
        raise DataError("a list of texts is needed, and one string was given; write [text].")
    texts = list(texts)
    wrong = next((place for place, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError(f"text {wrong} is {texts[wrong]!r}, not a string; leave it out or replace it.")
    return texts


def rows_of_each(keys: Iterable[K]) -> dict[K, Ints]:
    """By key, in the order of their first rows, the rows that have it."""
    rows: defaultdict[K, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows[key].append(row)
    return {key: np.array(of_key, dtype=np.int64) for key, of_key in rows.items()}


def in_order(tables: Iterable[tuple[Ints, pd.DataFrame]]) -> pd.DataFrame:
    """Answers to some rows at a time, with those rows, at least one such table → one table in the order of the rows."""
    import pandas as pd

    return pd.concat([table.set_axis(rows) for rows, table in tables]).sort_index()


def answer_table(
    tasks: Mapping[str, Task],
    probabilities: Mapping[str, Floats],
    calibrations: Mapping[str, Calibration],
    domains: Sequence[str | None],
    gauges: Mapping[str, Gauge] | None = None,
    strange: Mapping[str, Floats] | None = None,
) -> pd.DataFrame:
    """Probabilities by task → a table of labels and probabilities, as ``Model.predict`` returns it: decided by the
    threshold of each row's domain, where there are any.

    Args:
        gauges: by task, what tells strange texts, where it is asked for; ``strange`` the (rows,) scores.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, task in tasks.items():
        shares = probabilities[name]
        if task.head.multilabel:
            columns[name] = [[task.labels[place] for place in np.flatnonzero(row >= 0.5)] for row in shares]
        else:
            given = calibrations.get(name, Calibration()).decide(task, shares, domains)
            columns[name] = [None if place is None else task.labels[place] for place in given]
        columns |= {f"{name}.{label}": shares[:, place] for place, label in enumerate(task.labels)}
        if gauges and strange and name in gauges:
            score, flag = (f"{name}.{column}" for column in COLUMNS)
            columns |= {score: strange[name], flag: pd.array(gauges[name].beyond(strange[name]), dtype="boolean")}
    return pd.DataFrame(columns)
