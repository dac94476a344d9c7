"""From texts to be answered, and back to a table of answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from nlptl.contracts import Floats, Ints, Task
from nlptl.contracts.anomaly import COLUMNS
from nlptl.data._cells import is_null
from nlptl.errors import DataError
from nlptl.evaluate.calibrate import Calibration
from nlptl.saved.anomaly import Gauge
from nlptl.saved.whose import Whose, domains_of

if TYPE_CHECKING:
    import pandas as pd

K = TypeVar("K", bound=Hashable)


def asked(
    texts: Sequence[str], text_pair: Sequence[str] | None, domain: Whose, columns: Mapping[str, str | None]
) -> tuple[list[str], list[str] | None, list[str]]:
    """What a notebook asks of a model, as lists: texts, second texts, and the domain of each.

    Args:
        text_pair: None and NaN in it are '', as in training.
        columns: of the data that taught the model; empty where they are not known.

    Raises:
        DataError: texts are one string, or hold something else than strings; there is not one second text or domain a
            text, or second texts are lacking, or given to a model that no pairs taught.
    """
    texts, column = _strings(texts, "texts"), columns.get("text_pair")
    pairs = None if text_pair is None else _strings(text_pair, "text_pair", null="")
    if pairs is None and column is not None:
        raise DataError(
            f"the model was taught by pairs (column {column!r} beside the text), and text_pair is not given; give the "
            "second text of each, '' where there is none."
        )
    if pairs is not None and columns and column is None:
        raise DataError("text_pair is given, and the model was not taught by pairs; leave it out.")
    if pairs is not None and len(pairs) != len(texts):
        raise DataError(f"{len(texts)} texts and {len(pairs)} in text_pair were given; give one a text.")
    return texts, pairs, domains_of(domain, len(texts))


def _strings(given: Sequence[str], name: str, *, null: str | None = None) -> list[str]:
    if isinstance(given, str):
        raise DataError(f"{name} is one string, and a list of texts is needed; write [text].")
    texts = list(given) if null is None else [null if is_null(text) else text for text in given]
    wrong = next((place for place, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError(f"{name}[{wrong}] is {texts[wrong]!r}, not a string; leave it out or replace it.")
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
