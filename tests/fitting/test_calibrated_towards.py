"""Calibration of models that were moved towards a target: what can be served honestly, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.contracts import Task
from nlptl.contracts.calibrate import Calibrate
from nlptl.evaluate.calibrate import calibrate
from nlptl.heads import Linear

MOVED = "moved to the target's label shares"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people's mail, a fifth of the labels wrong, so that nobody can be sure; dee gets little ham."""
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    rows = mail(80, ("ann", "bob", "cy", "dee"))
    wrong = np.random.default_rng(1).random(len(rows)) < 0.2
    rows.loc[wrong, "label"] = np.where(rows.label[wrong] == "spam", "ham", "spam")
    rows[(rows.user != "dee") | (rows.label == "spam") | (rows.index % 4 == 0)].to_parquet(path)
    return path


def recipe(encoder: Path, path: Path, calibrate: dict[str, Any], adapt: list[Any], **sections: Any) -> nlptl.Recipe:
    head = {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam", "calibrate": calibrate}
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path), "domain": "user"},
        "transfer": {"target": "dee", "target_labels": 0, "hold_out": 0.5},
        "encoder": {"model": str(encoder), "max_length": 24, "pool": "last"},
        "heads": {"spam": head | sections.pop("head", {})},
        "adapt": adapt,
        "evaluate": {"bootstrap": 100, "metrics": ["accuracy"]},
    }
    return nlptl.Recipe(**(settings | sections))


SHIFT = {"kind": "label_shift", "sure": False}
TRAINED: dict[str, Any] = {"tune": {"kind": "lora", "rank": 2}, "train": {"max_steps": 4, "validation": 0.3}}


@pytest.mark.parametrize("sections", [{}, TRAINED], ids=["solved", "trained"])
def test_probabilities_are_those_of_the_shares_that_were_found(
    tiny_encoder: Path, table: Path, tmp_path: Path, sections: dict[str, Any]
) -> None:
    """The temperature is the one on whose scale the odds were moved, so that the mean probability is the share."""
    run = nlptl.fit(recipe(tiny_encoder, table, {"max_loss": 0.1}, [SHIFT], **sections), out=tmp_path / "run")
    [chosen], model = run.results["chosen"], nlptl.load(tmp_path / "run")
    calibration = model.calibrations["spam"]
    assert calibration == run.model().calibrations["spam"] and calibration.temperatures == {}
    assert chosen["calibrated on"].endswith(MOVED) and calibration.threshold is not None
    share = float(chosen["adapt"].split("spam ")[1].split(" → ")[1].split(";")[0])
    assert share > 0.55
    rows = pd.read_parquet(table)
    texts = list(rows.text[rows.user == "dee"])
    assert model.predict(texts, domain="dee")["spam.spam"].mean() == pytest.approx(share, abs=0.1)
    if not sections:
        assert f"temperature {calibration.temperature:.2f}" in chosen["adapt"]


def test_a_shift_that_is_not_sure_leaves_calibration_as_it_is(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    """Every estimate is doubted at this level, so that nothing moves."""
    both = [
        nlptl.fit(recipe(tiny_encoder, table, {}, adapt, transfer=transfer), out=tmp_path / "run")
        for adapt in ([{"kind": "label_shift"}], [])
        for transfer in [{"source": ["ann", "bob"], "target": "dee", "target_labels": 0, "hold_out": 0.5}]
    ]
    assert "not moved" in both[0].results["chosen"][0]["adapt"]
    assert both[0].model().calibrations == both[1].model().calibrations


def test_importance_counts_rows_as_it_weighs_them(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    found = [
        nlptl.fit(recipe(tiny_encoder, table, {}, adapt), out=tmp_path / "run").model().calibrations["spam"]
        for adapt in ([], [{"kind": "importance"}])
    ]
    assert set(found[0].temperatures) == {"ann", "bob", "cy"} and found[1].temperatures == {}
    assert found[1].temperature != found[0].temperature and found[1].fitted_on == found[0].fitted_on


def test_a_row_of_weight_two_counts_as_two() -> None:
    rng = np.random.default_rng(0)
    task, logits = Task("spam", Linear(), ("ham", "spam")), 3 * rng.normal(size=(60, 1))
    encoded = (rng.random(60) < 0.5).astype(int)
    weights = np.where(np.arange(60) < 20, 2.0, 1.0)
    twice = np.r_[np.arange(60), np.arange(20)]
    weighed = calibrate(Calibrate(), task, logits, encoded, ["x"] * 60, weights=weights)
    repeated = calibrate(Calibrate(), task, logits[twice], encoded[twice], ["x"] * 80, apart=False)
    assert weighed.temperature == pytest.approx(repeated.temperature, rel=1e-4)
    assert weighed.temperature != pytest.approx(calibrate(Calibrate(), task, logits, encoded, ["x"] * 60).temperature)
    settled = calibrate(Calibrate(max_loss=0.1), task, logits, encoded, ["x"] * 60, temperature=2.5)
    assert (settled.temperature, settled.temperatures) == (2.5, {})


IMPORTANCE = {"kind": "importance"}


@pytest.mark.parametrize(
    ("calibrate", "adapt", "sections", "message"),
    [
        ({}, [IMPORTANCE, SHIFT], {}, "not both together"),
        ({}, [IMPORTANCE], TRAINED, "held back from what is trained have no weight"),
        ({"max_loss": 0.1}, [IMPORTANCE], {}, "flattened weights of adapt: importance say too little"),
        ({}, [SHIFT], {"head": {"per": "domain"}}, "label_shift moves the head that all share"),
    ],
)
def test_what_cannot_be_served_honestly_is_refused(
    tiny_encoder: Path, table: Path, calibrate: dict[str, Any], adapt: list[Any], sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(nlptl.RecipeError, match=message):
        recipe(tiny_encoder, table, calibrate, adapt, **sections)


def test_the_loss_of_several_labels_is_not_told_by_other_shares(
    tiny_encoder: Path, table: Path, tmp_path: Path
) -> None:
    rows = pd.read_parquet(table)
    rows.loc[rows.index % 5 == 0, "label"] = "list"
    made = recipe(
        tiny_encoder, table, {"max_loss": 0.1}, [SHIFT], head={"labels": ["ham", "spam", "list"]},
        data={"kind": "frame", "table": rows, "domain": "user"},
    )  # fmt: skip
    with pytest.raises(nlptl.RecipeError, match="moves the shares of the 2 labels that are not to be caught"):
        nlptl.fit(made, out=tmp_path)


@pytest.fixture(scope="module")
def chosen_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people's mail in official splits; dee calls spam what the others call ham, and a fifth of all is wrong."""
    path = tmp_path_factory.mktemp("data") / "chosen.parquet"
    rows = mail(100, ("ann", "bob", "cy", "dee"))
    wrong = (np.random.default_rng(2).random(len(rows)) < 0.2) ^ (rows.user == "dee")
    rows.loc[wrong, "label"] = np.where(rows.label[wrong] == "spam", "ham", "spam")
    rows["split"] = np.random.default_rng(3).choice(["train", "train", "validation", "test"], len(rows))
    rows.to_parquet(path)
    return path


def choosing(encoder: Path, path: Path, *, max_loss: float = 0.2, **sections: Any) -> nlptl.Recipe:
    return recipe(encoder, path, {"max_loss": max_loss}, [], **{
        "data": {"kind": "parquet", "path": str(path), "domain": "user", "split": "split"},
        "transfer": {"target": ["ann", "dee"], "choose": "auto"},
    } | sections)  # fmt: skip


LORA_EACH: dict[str, Any] = {"tune": {"kind": "lora", "rank": 2, "per": "domain"}, "train": {"max_steps": 2}}


@pytest.mark.parametrize("sections", [{}, LORA_EACH], ids=["solved", "a lora each"])
def test_each_targets_rung_is_calibrated_on_rows_that_neither_taught_nor_chose(
    tiny_encoder: Path, chosen_table: Path, tmp_path: Path, sections: dict[str, Any]
) -> None:
    run = nlptl.fit(choosing(tiny_encoder, chosen_table, **sections), out=tmp_path / "run")
    rows, scored = pd.read_parquet(chosen_table), pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    decided = {row["domain"]: row for row in run.results["decisions"]}
    assert set(decided) == {"ann", "dee"} and run.results["domains"]["dee"]["shipped"] != "solved"
    for name in ("ann", "dee"):
        model = run.model(name)
        kept, task = model.calibrations["spam"], model.tasks["spam"]
        held = rows[(rows.split == "validation") & (rows.user == name)]
        logits = model.logits(list(held.text), domains=list(held.user))["spam"]
        encoded = task.encode(list(held.label))
        found = calibrate(task.head.calibrate, task, logits, encoded, list(held.user), apart=False)
        assert kept.temperature == pytest.approx(found.temperature, rel=1e-3)
        told = f"{len(held)} official validation rows of {name}, which neither taught nor chose"
        assert kept.fitted_on == decided[name]["calibrated_on"] == told
        test = rows[(rows.split == "test") & (rows.user == name)]
        served = nlptl.load(tmp_path / "run").predict(list(test.text), domain=[name] * len(test))
        answers = sorted(shares[1] for shares in scored.model[scored.domain == name])
        assert answers == pytest.approx(sorted(served["spam.spam"]), abs=1e-4)
    assert run.shared is not None and run.shared.calibrations["spam"].fitted_on.endswith("out of fold")


def test_a_target_whose_validation_rows_are_copies_of_scored_ones_is_named(
    tiny_encoder: Path, chosen_table: Path, tmp_path: Path
) -> None:
    """The leak guard drops them, before anything is encoded."""
    rows = pd.read_parquet(chosen_table)
    held, scored = ((rows.user == "dee") & (rows.split == split) for split in ("validation", "test"))
    rows.loc[held, "text"] = np.resize(list(rows.text[scored]), held.sum())
    rows.to_parquet(tmp_path / "mail.parquet")
    with pytest.raises(nlptl.RecipeError, match="dee has none with a label that is no copy of a scored row"):
        nlptl.fit(choosing(tiny_encoder, tmp_path / "mail.parquet"), out=tmp_path / "run")


def test_a_target_whose_rows_are_too_few_for_a_threshold_is_told_of(
    tiny_encoder: Path, chosen_table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = nlptl.fit(choosing(tiny_encoder, chosen_table, max_loss=0.001), out=tmp_path / "run")
    for name in ("ann", "dee"):
        assert run.model(name).calibrations["spam"].threshold is None
        assert f"task spam of {name} has no threshold" in caplog.text


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"transfer": {"target": ["ann"], "choose": "auto", "target_labels": 8}}, "set transfer.target_labels: all"),
        (TRAINED, "which choose the epoch of tune.kind lora"),
    ],
)
def test_rungs_that_have_no_fresh_rows_are_refused(
    tiny_encoder: Path, chosen_table: Path, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(nlptl.RecipeError, match=message):
        choosing(tiny_encoder, chosen_table, **sections)


def test_a_target_without_validation_rows_is_named(tiny_encoder: Path, chosen_table: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(chosen_table)
    rows.loc[(rows.user == "dee") & (rows.split == "validation"), "split"] = "train"
    rows.to_parquet(tmp_path / "mail.parquet")
    with pytest.raises(nlptl.RecipeError, match="validation rows, and dee has none with a label"):
        nlptl.fit(choosing(tiny_encoder, tmp_path / "mail.parquet"), out=tmp_path / "run")
