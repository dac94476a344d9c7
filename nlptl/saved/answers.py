"""From texts to be answered, and back to a table of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Floats, Task
from nlptl.contracts.anomaly import COLUMNS
from nlptl.errors import DataError
from nlptl.evaluate.calibrate import Calibration
from nlptl.saved.anomaly import Gauge

if TYPE_CHECKING:
    import pandas as pd


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
