"""On which texts an export is compared with its model, and what counts as the same answer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_model import made

import nlptl
from nlptl.evaluate.calibrate import Calibration
from nlptl.saved.export import agreement

TEXTS = ["win a cash prize", "the meeting is on monday", "gas"]
COLUMN = pd.Series(TEXTS, index=[1, 5, 0])
"""The rows that a table was left with, in an order of their own."""


def test_models_that_both_abstain_agree(tiny_encoder: Path) -> None:
    silent, other = made(tiny_encoder), made(tiny_encoder)
    surest = silent.predict_proba(TEXTS)["spam"].max(axis=1)
    silent.calibrations["spam"] = Calibration(abstain=float(np.median(surest)))
    assert silent.predict(TEXTS)["spam"].isna().sum() == 1
    assert agreement(silent, silent, TEXTS)["spam"]["labels"] == 1
    assert agreement(silent, other, TEXTS)["spam"]["labels"] == pytest.approx(2 / 3)


def test_a_column_of_a_table_is_read_by_place(tiny_encoder: Path, tmp_path: Path) -> None:
    model = made(tiny_encoder)
    np.testing.assert_allclose(
        model.probabilities(COLUMN)["spam"],  # type: ignore[arg-type]
        model.probabilities(TEXTS)["spam"], atol=1e-6,
    )  # fmt: skip
    model.export(tmp_path / "merged", to="merged", texts=COLUMN)  # type: ignore[arg-type]
    assert '"texts": 3' in (tmp_path / "merged" / "agreement.json").read_text()


@pytest.mark.parametrize(
    ("texts", "said"),
    [([], "texts holds none"), ("win a prize", r"texts is one string, .*write \[text\]"), (["win", None], "texts.1.")],
)
def test_texts_that_cannot_be_compared_are_refused_before_anything_is_written(
    texts: list[str], said: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(nlptl.DataError, match=said):
        made(tiny_encoder).export(tmp_path / "merged", to="merged", texts=texts)
    assert not (tmp_path / "merged").exists()
