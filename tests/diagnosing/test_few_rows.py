"""A look at recipes of which a handful of labels, or of texts, may be read."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.diagnose.noise import ALONE


def recipe(encoder: Path, table: pd.DataFrame, **transfer: Any) -> nlptl.Recipe:
    return nlptl.Recipe(
        data={"kind": "frame", "table": table, "domain": "user"},
        transfer={"hold_out": 0.3, "near": 1.0, **transfer},
        encoder={"model": str(encoder), "max_length": 24},
        heads={"spam": {"kind": "linear", "column": "label"}},
    )


def test_users_of_one_label_a_class_are_compared(tiny_encoder: Path) -> None:
    found = recipe(tiny_encoder, mail(20, ("ann", "cy")), target_labels=1).diagnose()
    assert list(found) == ["ann", "cy"]
    assert all(of_one["shift"]["p"]["concept"] is not None for of_one in found.values())


def test_one_label_a_class_is_held_against_none(tiny_encoder: Path) -> None:
    pytest.importorskip("cleanlab")
    found = recipe(tiny_encoder, mail(20, ("ann",)), target_labels=1).diagnose("rows")
    assert found["noise"] == {"skipped": ALONE} and len(found["anomalies"]) == found["rows"] - 2


def test_copies_of_one_text_are_no_texts_to_compare(tiny_encoder: Path) -> None:
    table = mail(20, ("ann", "cy"))
    table.loc[table["user"] == "cy", "text"] = "the same mail again"
    with pytest.raises(nlptl.DataError, match=r"1 texts of 'cy', copies counted once, .* lower transfer\.hold_out"):
        recipe(tiny_encoder, table, source="ann", target="cy", target_labels=0, leaks="keep").diagnose()
