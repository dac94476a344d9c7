from dataclasses import replace

import numpy as np
import pytest

from nlptl.contracts import Task
from nlptl.errors import DataError
from nlptl.heads import Linear
from nlptl.transfer.labels import labels_are_left
from nlptl.transfer.plan import Turn

TASKS = {"spam": Task("spam", Linear(), ("ham", "news", "spam"))}
ENCODED = {"spam": np.array([0, 0, 1, 2, 2])}
NONE = np.empty(0, dtype=np.int64)
BEFORE = Turn("all", ("a",), ("b",), np.arange(5), NONE, NONE, NONE, 0, 0)


def left(*teach: int) -> None:
    labels_are_left(BEFORE, replace(BEFORE, teach=np.array(teach)), TASKS, ENCODED)


def test_a_label_that_copies_took_away_is_told(caplog: pytest.LogCaptureFixture) -> None:
    left(0, 1, 2, 3)
    assert caplog.text == ""
    left(0, 1, 2)
    assert "every row that teaches spam is a copy of a scored or validation row" in caplog.text


def test_one_label_that_is_left_teaches_nothing() -> None:
    with pytest.raises(DataError, match=r"the 2 rows that teach task 'spam' in turn 'all', once copies .* do not diff"):
        left(0, 1)
