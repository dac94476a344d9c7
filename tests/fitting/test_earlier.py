"""What taught the run that this one goes on from teaches again, and neither calibrates nor chooses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_mail import mail
from sections import laid

import nlptl

SPAM = {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}
CALIBRATED = {"heads": {"spam": SPAM | {"calibrate": {"max_loss": 0.1}}}}
LORA = {"tune": {"kind": "lora", "rank": 2}, "train": {"epochs": 2, "batch_rows": 16}}
EACH = 40
"""Rows of each of four people: ann and bob taught the first run, cy did not, and half of dee's are scored."""


def recipe(model: Path, path: Path, **sections: Any) -> nlptl.Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path), "domain": "user"},
        "transfer": {"target": "dee", "target_labels": 0, "hold_out": 0.5},
        "encoder": {"model": str(model), "max_length": 24, "pool": "last"},
        "heads": {"spam": SPAM},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**laid(settings, sections))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    mail(EACH).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def first(tiny_encoder: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that ann and bob taught."""
    folder = tmp_path_factory.mktemp("first") / "run"
    nlptl.fit(recipe(tiny_encoder, table, transfer={"source": ["ann", "bob"]}, **LORA), out=folder)
    return folder


ASKED: dict[str, dict[str, Any]] = {
    "heads.spam.calibrate": CALIBRATED,
    "transfer.choose": {"transfer": {"choose": "auto"}},
    "train.validation": LORA | {"train": {"epochs": 1, "validation": 0.2}},
    "augment": {"augment": [{"kind": "eda"}]},
}


@pytest.mark.parametrize("place", ASKED)
def test_nothing_rests_on_known_rows_alone(first: Path, table: Path, tmp_path: Path, place: str) -> None:
    asked = ASKED[place]
    sections = asked | {"transfer": {"source": ["ann", "bob"]} | asked.get("transfer", {})}
    with pytest.raises(nlptl.DataError) as told:
        nlptl.fit(recipe(first, table, **sections), out=tmp_path / "run")
    assert f"{place}: turn 'all': all {2 * EACH} rows that it would rest on taught the run" in str(told.value)
    assert str(first) in str(told.value) and "transfer.leaks: keep" in str(told.value)
    assert not (tmp_path / "run").exists()


def test_only_rows_that_are_new_calibrate_unless_known_ones_are_to_be_kept(
    first: Path, table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = nlptl.fit(recipe(first, table, **CALIBRATED), out=tmp_path / "run")
    assert run.model().calibrations["spam"].fitted_on == f"{EACH} rows out of fold"
    assert "too well" not in caplog.text
    kept = nlptl.fit(recipe(first, table, **CALIBRATED, transfer={"leaks": "keep"}), out=tmp_path / "kept")
    assert kept.model().calibrations["spam"].fitted_on == f"{3 * EACH} rows out of fold"
    assert f"{2 * EACH} of {3 * EACH} rows that teach or validate are known to the run in {first}" in caplog.text
    assert "too well" in caplog.text


def test_only_rows_that_are_new_are_held_back(first: Path, table: Path, tmp_path: Path) -> None:
    sections = LORA | CALIBRATED | {"train": {"epochs": 1, "validation": 0.9}}
    run = nlptl.fit(recipe(first, table, **sections), out=tmp_path / "run")
    assert run.model().calibrations["spam"].fitted_on == f"{EACH} rows held back, which chose the epoch too"


def test_known_rows_rehearse_and_are_no_evidence(first: Path, table: Path, tmp_path: Path) -> None:
    run = nlptl.fit(recipe(first, table, transfer={"choose": "auto"}), out=tmp_path / "run")
    [row] = run.results["gate"]
    assert [trial["rows"] for trial in row["trials"]] == [EACH]


def test_official_rows_that_all_chose_before_choose_again_and_that_is_told(
    tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = mail(EACH, ("ann", "bob"))
    rows["split"] = np.resize(["train", "train", "validation", "test"], len(rows))
    rows.to_parquet(tmp_path / "split.parquet")
    split = LORA | CALIBRATED | {
        "data": {"split": "split"}, "transfer": {"target": "*", "target_labels": "all", "hold_out": None},
    }  # fmt: skip
    nlptl.fit(recipe(tiny_encoder, tmp_path / "split.parquet", **split), out=tmp_path / "first")
    run = nlptl.fit(recipe(tmp_path / "first", tmp_path / "split.parquet", **split), out=tmp_path / "run")
    told = "20 rows held back, which chose the epoch too; the run before knows them, or chose by them"
    assert run.model().calibrations["spam"].fitted_on == told
    assert "turn 'all': all 20 official validation rows taught the run" in caplog.text
