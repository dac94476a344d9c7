"""Negative transfer is flagged where it was made, with the sources that made it, and nowhere else."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl


def run(
    table: pd.DataFrame, encoder: Path, folder: Path, sections: dict[str, Any] | None = None, **transfer: object
) -> nlptl.Run:
    table.to_parquet(folder / "mail.parquet")
    settings = {
        "data": {"kind": "parquet", "path": str(folder / "mail.parquet"), "domain": "user"},
        "transfer": {"hold_out": 0.5, "near": 1.0, **transfer},
        "encoder": {"model": str(encoder), "max_length": 24, "pool": "last"},
        "heads": {"spam": {"kind": "linear", "column": "label"}},
        "evaluate": {"bootstrap": 100, "negative_transfer": True},
    }
    return nlptl.fit(nlptl.Recipe(**settings | (sections or {})), out=folder / "run")


def turned(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` in which dee calls spam what all others call ham."""
    dee = table["user"] == "dee"
    table.loc[dee, "label"] = table.loc[dee, "label"].map({"ham": "spam", "spam": "ham"})
    return table


@pytest.fixture(scope="module")
def contrary(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> nlptl.Run:
    """Three agree; dee calls spam what they call ham."""
    table = turned(mail(rows=120))
    table.loc[table["user"] == "ann", "user"] = "<b>ann"
    return run(table, tiny_encoder, tmp_path_factory.mktemp("contrary"), target=["dee", "cy"])


def test_who_was_hurt_is_named_with_the_sources(contrary: nlptl.Run) -> None:
    by_target = {row["target"]: row for row in contrary.results["negative_transfer"]}
    hurt = by_target["dee"]
    assert hurt["negative_transfer"] and hurt["accuracy"] < hurt["own"] and hurt["p_holm"] <= 0.05
    assert hurt["harmed_by"] and {row["source"] for row in hurt["harmed_by"]} <= {"<b>ann", "bob", "cy"}
    gains = [row["gain_without"] for row in hurt["harmed_by"]]
    assert gains == sorted(gains, reverse=True) and min(gains) > 0
    assert all(row["p_holm"] >= row["p"] and row["sure"] == (row["p_holm"] <= 0.05) for row in hurt["harmed_by"])
    assert not by_target["cy"]["negative_transfer"] and by_target["cy"]["harmed_by"] == []


def test_the_page_says_so_and_escapes_names(contrary: nlptl.Run) -> None:
    page = (contrary.folder / "report.html").read_text(encoding="utf-8")
    assert "negative transfer</b>" in page and "<b>ann" not in page


@pytest.mark.parametrize("people", [("ann", "dee"), ("ann", "bob", "dee"), ("ann", "bob", "cy", "dee")])
def test_sources_that_are_weighed_are_left_out_in_turn_too(
    tiny_encoder: Path, tmp_path: Path, people: tuple[str, ...]
) -> None:
    """Of two sources one is left, which has nothing to be weighed against; of one, nobody."""
    table = turned(mail(rows=120, people=people))
    if len(people) == 2:
        with pytest.raises(nlptl.RecipeError, match="compares source domains"):
            run(table, tiny_encoder, tmp_path, target="dee", weigh="similarity")
        return
    [row] = run(table, tiny_encoder, tmp_path, target="dee", weigh="similarity").results["negative_transfer"]
    assert row["negative_transfer"] and row["harmed_by"]


def test_without_labels_of_the_target_nobody_can_say(
    tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unseen = run(mail(), tiny_encoder, tmp_path, target="dee", target_labels=0)
    assert unseen.results["negative_transfer"] == []
    assert "nobody can say whether transfer hurt" in caplog.text


def test_what_training_held_back_is_no_gain_of_leaving_a_source_out(tiny_encoder: Path, tmp_path: Path) -> None:
    """The served model was taught by half of the rows; with and without a source, heads are solved on all of them."""
    table = turned(mail(rows=120, people=("ann", "bob", "dee")))
    (tmp_path / "solved").mkdir()
    [solved] = run(table, tiny_encoder, tmp_path / "solved", target="dee").results["negative_transfer"]
    trained = {"tune": {"kind": "lora", "rank": 2}, "train": {"validation": 0.5, "lr": 1e-9, "batch_rows": 64}}
    [row] = run(table, tiny_encoder, tmp_path, sections=trained, target="dee").results["negative_transfer"]
    assert row["negative_transfer"] and row["accuracy"] != solved["accuracy"]
    assert row["harmed_by"] == solved["harmed_by"]


def test_a_target_without_a_scored_row_is_left_out(tiny_encoder: Path, tmp_path: Path) -> None:
    """It has labels to be taught by, and none to be judged by."""
    table = turned(mail(rows=120))
    table["split"] = np.resize(["train", "test"], len(table))
    table.loc[(table["user"] == "cy") & (table["split"] == "test"), "label"] = None
    split = {"data": {"kind": "parquet", "path": str(tmp_path / "mail.parquet"), "domain": "user", "split": "split"}}
    rows = run(table, tiny_encoder, tmp_path, sections=split, target=["cy", "dee"], hold_out=None)
    [row] = rows.results["negative_transfer"]
    assert row["target"] == "dee" and row["negative_transfer"] and row["p_holm"] <= 0.05
