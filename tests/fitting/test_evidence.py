"""Who may rehearse, with what, and what the training of a rehearsal is given."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_mail import mail

import nlptl
from nlptl.contracts import Task
from nlptl.fitting.evidence import _Cast
from nlptl.fitting.rungs import Table
from nlptl.heads import Linear
from nlptl.recipe import Transfer

TASK = Task("spam", Linear(), ("ham", "spam"))


def cast(domains: list[str], labels: np.ndarray, *, of_target: int = 0) -> _Cast:
    """Rows of ``domains`` that all teach and are all unlike, the target's none of them."""
    count = len(domains)
    table = Table(TASK, np.zeros((count, 2)), None, labels, np.arange(count), temperature=1.0)
    turn: Any = SimpleNamespace(targets=("dee",), labels_of_target=of_target)
    every = np.ones(count, dtype=bool)
    names, ids = np.array(domains, dtype=object), np.arange(count).astype(str).astype(object)
    return _Cast(table, np.arange(count), ids, names, every, ~every, ~every, turn, every)


def test_a_source_with_few_labels_shows_half_of_each_and_rehearses() -> None:
    """Sixteen a class are asked for, and each source has fifteen."""
    made = cast(["ann"] * 30 + ["bob"] * 30, np.tile([0, 1], 30))
    played = list(made.by_sources(Transfer(choose="auto", target_labels=16), 0, []))
    assert [np.bincount(made.table.encoded[each.shown]).tolist() for each in played] == [[7, 7], [7, 7]]
    assert [len(each.scored) for each in played] == [16, 16]


def test_who_cannot_rehearse_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """Held out together, the two sources leave nobody to teach."""
    made = cast(["ann"] * 4 + ["bob"] * 4, np.tile([0, 1], 4))
    assert not list(made.by_sources(Transfer(choose="auto", target_labels=0), 0, [("ann", "bob")]))
    assert "ann cannot rehearse task 'spam'" in caplog.text and "bob cannot rehearse" in caplog.text


def recipe(model: Path, path: Path, **sections: Any) -> nlptl.Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path), "domain": "user"},
        "transfer": {"choose": "auto", "target": "dee", "target_labels": 0},
        "encoder": {"model": str(model), "max_length": 24, "pool": "last"},
        "heads": {"spam": {"kind": "linear", "column": "label"}},
        "evaluate": {"bootstrap": 100},
    }
    for name, section in sections.items():
        settings[name] = settings.get(name, {}) | section
    return nlptl.Recipe(**settings)


def test_a_task_that_the_target_has_no_row_of_is_rehearsed_by_those_who_have(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    rows = mail()
    rows.loc[rows.user == "dee", "topic"] = None
    rows.to_parquet(tmp_path / "mail.parquet")
    made = recipe(tiny_encoder, tmp_path / "mail.parquet", heads={"topic": {"kind": "linear"}},
                  transfer={"hold_out": 1.0})  # fmt: skip
    run = nlptl.fit(made, out=tmp_path / "run")
    assert {row["task"] for row in run.results["gate"]} == {"spam", "topic"}
    assert set(run.results["tasks"]["spam"]["domains"]) == {"dee"}


def test_official_validation_rows_of_others_choose_the_epoch_of_a_rehearsal(tiny_encoder: Path, tmp_path: Path) -> None:
    """As in earnest, where it would else be another training that is rehearsed."""
    rows = mail(24)
    rows["split"] = np.resize(["train", "train", "validation", "test"], len(rows))
    rows.to_parquet(tmp_path / "mail.parquet")
    tuned: dict[str, Any] = {"tune": {"kind": "lora", "rank": 2}, "train": {"epochs": 3, "batch_rows": 16}}
    made = recipe(tiny_encoder, tmp_path / "mail.parquet", data={"split": "split"}, **tuned)
    run = nlptl.fit(made, out=tmp_path / "run")
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    rehearsed = [line for line in lines if "rehearsed" in line["turn"]]
    assert len({line["turn"] for line in rehearsed}) == 3
    judged = [line["epoch"] for line in rehearsed if "validation_loss" in line]
    assert sorted(judged) == sorted([1, 2, 3] * 3)


@pytest.mark.parametrize("select", ["snd", "entropy", "importance"])
def test_an_epoch_that_texts_of_the_target_choose_is_not_rehearsed(tmp_path: Path, select: str) -> None:
    tuned: dict[str, Any] = {"tune": {"kind": "lora"}, "train": {"select": select, "validation": 0.2}}
    with pytest.raises(nlptl.RecipeError, match=rf"train\.select: {select} reads texts of the target that are not"):
        recipe(Path("none"), tmp_path / "mail.parquet", **tuned)
