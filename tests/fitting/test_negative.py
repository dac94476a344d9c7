"""Negative transfer is flagged where it was made, with the sources that made it, and nowhere else."""

from pathlib import Path

import pandas as pd
import pytest
from made_mail import mail

import nlptl


def run(table: pd.DataFrame, encoder: Path, folder: Path, **transfer: object) -> nlptl.Run:
    table.to_parquet(folder / "mail.parquet")
    return nlptl.fit(
        nlptl.Recipe(
            data={"kind": "parquet", "path": str(folder / "mail.parquet"), "domain": "user"},
            transfer={"hold_out": 0.5, "near": 1.0, **transfer},
            encoder={"model": str(encoder), "max_length": 24, "pool": "last"},
            heads={"spam": {"kind": "linear", "column": "label"}},
            evaluate={"bootstrap": 100, "negative_transfer": True},
        ),
        out=folder / "run",
    )


@pytest.fixture(scope="module")
def contrary(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> nlptl.Run:
    """Three agree; dee calls spam what they call ham."""
    table = mail(rows=120)
    turned = table["user"] == "dee"
    table.loc[turned, "label"] = table.loc[turned, "label"].map({"ham": "spam", "spam": "ham"})
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
    table = mail(rows=120, people=people)
    turned = table["user"] == "dee"
    table.loc[turned, "label"] = table.loc[turned, "label"].map({"ham": "spam", "spam": "ham"})
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
