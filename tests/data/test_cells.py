"""One cell at a time: labels, texts, splits and dates of many makes."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nlptl.data._cells import Refused, as_label, as_labels, as_name, as_split, as_text, as_time


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (" ham ", "ham"), (1, "1"), (1.0, "1"), (np.int64(1), "1"), (np.float32(1), "1"), (0.5, "0.5"), (-0.0, "0"),
        (True, "true"), (np.bool_(False), "false"), (Decimal("2.50"), "2.50"), (2**60, str(2**60)), ("nan", "nan"),
        ("1.0", "1.0"), ("é", "é"),
        (None, None), (float("nan"), None), (np.float64("nan"), None), (pd.NA, None), (pd.NaT, None), ("", None),
        (" \t", None),
    ],
)  # fmt: skip
def test_names_become_text_and_nothing_becomes_null(cell: Any, name: str | None) -> None:
    assert as_name(cell) == name


@pytest.mark.parametrize("cell", [b"ham", ["ham"], {"ham": 1}, np.array(["ham"])])
def test_what_is_no_name_is_refused(cell: Any) -> None:
    with pytest.raises(Refused, match=r"^not text"):
        as_name(cell)


@pytest.mark.parametrize("cell", [None, float("nan"), "", "  \n", pd.NA])
def test_no_text_is_refused(cell: Any) -> None:
    with pytest.raises(Refused, match="no text"):
        as_text(cell)


def test_a_text_stays_as_it_stands() -> None:
    assert as_text("  two\n lines\0 ") == "  two\n lines\0 "
    assert as_text(5) == "5"
    with pytest.raises(Refused, match=r"broken encoding: .* character 3"):
        as_text("ab\ud83d")


def test_an_unknown_label_is_refused_with_the_choices() -> None:
    choices = frozenset({"ham", "spam"})
    assert as_label("ham", choices) == "ham"
    assert as_label(None, choices) is None
    with pytest.raises(Refused, match=r"^label not among ham, spam: 'spamm'; did you mean 'spam'\?$"):
        as_label("spamm", choices)


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("a;b; a ;", ["a", "b"]), (["b", 1, None], ["b", "1"]), (np.array([2, 1]), ["2", "1"]), ((), []), ([], []),
        (3, ["3"]), (None, None), (float("nan"), None), ("", None), ("  ", None),
    ],
)  # fmt: skip
def test_multilabel_cells_are_lists_or_separated_text(cell: Any, labels: list[str] | None) -> None:
    assert as_labels(cell, ";", None) == labels


def test_one_unknown_label_of_several_refuses_the_row() -> None:
    with pytest.raises(Refused, match="'c'"):
        as_labels("a,c", ",", frozenset("ab"))


@pytest.mark.parametrize(
    ("cell", "split"),
    [("Train", "train"), ("training", "train"), ("dev", "validation"), ("val", "validation"), ("valid", "validation"),
     ("validate", "validation"), ("test", "test"), ("unsupervised", "unlabelled"), ("unlabeled", "unlabelled"),
     (None, None), ("", None)],
)  # fmt: skip
def test_splits_by_their_usual_names(cell: Any, split: str | None) -> None:
    assert as_split(cell) == split


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(Refused, match=r"split not among .*: 'tests'; did you mean 'test'"):
        as_split("tests")


NOON = 1_580_472_000.0  # 2020-01-31 12:00 UTC


@pytest.mark.parametrize(
    "cell",
    [
        "2020-01-31T12:00:00Z", "2020-01-31 12:00", "2020-01-31 12:00:00 UTC", "2020-01-31T13:00:00+01:00",
        "2020-01-31T13:00:00+0100", "2020-01-31 04:00:00 -0800", " 2020-01-31T12:00:00.000 ",
        "Fri, 31 Jan 2020 12:00:00 GMT", "Fri, 31 Jan 2020 04:00:00 -0800 (PST)", "31 Jan 2020 12:00:00 -0000",
        "1580472000", 1580472000, 1580472000.0, np.int64(1580472000), datetime(2020, 1, 31, 12),
        pd.Timestamp("2020-01-31 13:00", tz="Europe/Paris"), pd.Timestamp("2020-01-31 12:00"),
        np.datetime64("2020-01-31T12:00:00"), np.datetime64("2020-01-31T12:00:00", "ns"),
    ],
    ids=repr,
)  # fmt: skip
def test_dates_are_unix_seconds_and_utc_unless_they_say_so(cell: Any) -> None:
    assert as_time(cell) == NOON


def test_days_without_a_time() -> None:
    assert as_time("2020-01-31") == as_time(date(2020, 1, 31)) == NOON - 12 * 3600


@pytest.mark.parametrize("cell", [None, "", "  ", float("nan"), pd.NaT, np.datetime64("NaT")])
def test_no_date_is_null(cell: Any) -> None:
    assert as_time(cell) is None


@pytest.mark.parametrize(
    "cell", ["yesterday", "31/01/2020", "2020-02-31", "nan", "inf", True, "Fri, 32 Jan 2020 12:00:00 GMT", [1]]
)
def test_an_unparsable_date_is_refused(cell: Any) -> None:
    with pytest.raises(Refused, match=r"^unparsable date: "):
        as_time(cell)
