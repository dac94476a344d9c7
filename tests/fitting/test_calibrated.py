"""Calibrated heads from recipe to saved model: what is fitted, kept, applied and told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.evaluate._reliability import ece
from nlptl.evaluate.calibrate import calibrate
from nlptl.fitting import augment, climb


def recipe(model: Path, path: Path, calibrate: dict[str, Any], **head: Any) -> nlptl.Recipe:
    return nlptl.Recipe(
        data={"kind": "parquet", "path": str(path), "domain": "user"},
        transfer={"hold_out": 0.4, "target": ["ann", "bob"]},
        encoder={"model": str(model), "max_length": 24, "pool": "last"},
        heads={
            "spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}
            | {"calibrate": calibrate}
            | head
        },
        evaluate={"bootstrap": 100, "metrics": ["accuracy", "ece"]},
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people's mail; a fifth of the labels are wrong, so that nobody can be sure."""
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    rows = mail(100, ("ann", "bob", "cy"))
    wrong = np.random.default_rng(1).random(len(rows)) < 0.2
    rows.loc[wrong, "label"] = np.where(rows.label[wrong] == "spam", "ham", "spam")
    rows.to_parquet(path)
    return path


@pytest.mark.parametrize("head", [{}, {"per": "domain"}], ids=["shared", "per domain"])
def test_what_is_fitted_is_kept_applied_and_told(
    tiny_encoder: Path, table: Path, tmp_path: Path, head: dict[str, Any]
) -> None:
    made = recipe(tiny_encoder, table, {"max_loss": 0.1, "abstain": 0.6}, **head)
    assert nlptl.Recipe.load(_saved(made, tmp_path / "recipe.yaml")) == made
    run = nlptl.fit(made, out=tmp_path / "run")
    model = nlptl.load(tmp_path / "run")
    calibration = model.calibrations["spam"]
    assert calibration == run.model().calibrations["spam"]
    assert set(calibration.temperatures) == {"ann", "bob", "cy"}
    assert calibration.threshold is not None and set(calibration.thresholds) == {"ann", "bob", "cy"}

    rows = pd.read_parquet(table).query("user == 'bob'")
    answers = model.predict(list(rows.text), domain="bob")
    shares = answers["spam.spam"].to_numpy()
    expected = np.where(shares >= calibration.thresholds["bob"], "spam", "ham").astype(object)
    expected[np.maximum(shares, 1 - shares) < 0.6] = None
    assert [None if pd.isna(answer) else answer for answer in answers["spam"]] == list(expected)

    told = {row["domain"]: row for row in run.results["decisions"]}
    assert set(told) == {"ann", "bob"}
    assert told["bob"]["threshold"] == calibration.thresholds["bob"]
    scored = pd.read_parquet(tmp_path / "run" / "predictions.parquet").query("domain == 'bob'")
    flagged = np.array([share[1] for share in scored.model]) >= calibration.thresholds["bob"]
    sure = np.array([max(share) for share in scored.model]) >= 0.6
    ham = np.array([labels[0] == "ham" for labels in scored.labels])
    assert told["bob"]["lost"] == pytest.approx((flagged & sure)[ham].mean())
    assert told["bob"]["abstained"] == pytest.approx(1 - sure.mean())
    assert "Decisions" in (tmp_path / "run" / "report.html").read_text()
    assert run.results["chosen"][0]["temperature"] == calibration.temperature


def _saved(made: nlptl.Recipe, path: Path) -> Path:
    made.save(path)
    return path


def test_a_threshold_that_too_few_rows_can_show_is_refused_with_the_reason(
    tiny_encoder: Path, table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = nlptl.fit(recipe(tiny_encoder, table, {"max_loss": 0.001}), out=tmp_path / "run")
    assert "task spam has no threshold" in caplog.text and "takes at least 3000 rows" in caplog.text
    assert run.model().calibrations["spam"].threshold is None
    assert "takes at least 3000 rows" in run.results["chosen"][0]["no threshold"]
    assert "takes at least 3000 rows" in (tmp_path / "run" / "report.html").read_text()


def test_boasts_are_taken_back(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    """The solved head without calibration answers beside the model: same answers, other confidence."""
    run = nlptl.fit(recipe(tiny_encoder, table, {}), out=tmp_path / "run")
    spam = run.results["tasks"]["spam"]
    assert spam["rungs"]["solved"]["overall"]["accuracy"] == spam["overall"]["accuracy"]
    assert spam["rungs"]["solved"]["overall"]["ece"] != spam["overall"]["ece"]
    described = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert described["calibrations"]["spam"]["temperature"] == run.results["chosen"][0]["temperature"]


@pytest.fixture(scope="module")
def split_table(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same mail with official splits."""
    path = tmp_path_factory.mktemp("data") / "split.parquet"
    rows = pd.read_parquet(table)
    rows["split"] = np.resize(["train", "train", "validation", "test"], len(rows))
    rows.to_parquet(path)
    return path


TRAINED: dict[str, dict[str, Any]] = {
    "lora": {"tune": {"kind": "lora", "rank": 2}},
    "mlp": {"heads": {"spam": {"kind": "mlp", "hidden": [8]}}},
    "top layers": {"tune": {"kind": "top_layers", "layers": 1}},
    "a lora each": {"tune": {"kind": "lora", "rank": 2, "per": "domain"}},
}


def trained(model: Path, path: Path, sections: dict[str, Any]) -> nlptl.Recipe:
    made = recipe(model, path, {"max_loss": 0.1}).model_dump()
    made["data"]["split"], made["transfer"]["hold_out"] = "split", None
    spam = {name: made["heads"]["spam"][name] for name in ("column", "labels", "positive", "calibrate")}
    heads = {"spam": spam | {"kind": "linear"} | sections.get("heads", {}).get("spam", {})}
    return nlptl.Recipe(**(made | {"train": {"epochs": 2, "lr": 0.02, "batch_rows": 32}} | sections | {"heads": heads}))


@pytest.mark.parametrize("kind", TRAINED)
def test_what_is_trained_is_calibrated_on_the_rows_held_back(
    tiny_encoder: Path, split_table: Path, tmp_path: Path, kind: str
) -> None:
    run = nlptl.fit(trained(tiny_encoder, split_table, TRAINED[kind]), out=tmp_path / "run")
    model = nlptl.load(tmp_path / "run")
    kept, rows = model.calibrations["spam"], pd.read_parquet(split_table)
    task = model.tasks["spam"]
    held = rows[rows.split == "validation"]
    logits = model.logits(list(held.text), domains=list(held.user))["spam"]
    labels = task.encode(list(held.label))
    found = calibrate(task.head.calibrate, task, logits, labels, list(held.user), apart=False)
    assert kept.temperature == pytest.approx(found.temperature, rel=1e-3)
    assert kept.temperature != 1
    assert kept.temperatures == {}
    assert kept.threshold == pytest.approx(found.threshold, rel=1e-3)
    assert ("epoch chosen by" in run.results["chosen"][0]) is (kind != "a lora each")
    chose = "" if kind == "a lora each" else ", which chose the epoch too"
    assert run.results["chosen"][0]["calibrated on"] == f"{len(held)} rows held back{chose}" == kept.fitted_on

    scored = rows[(rows.split == "test") & (rows.user == "ann")]
    [told] = [row for row in run.results["decisions"] if row["domain"] == "ann"]
    after = model.predict(list(scored.text), domain="ann")["spam.spam"].to_numpy()
    model.calibrations = {}
    before = model.predict(list(scored.text), domain="ann")["spam.spam"].to_numpy()
    spam = (scored.label == "spam").to_numpy()
    for shares, suffix in ((after, ""), (before, "_before")):
        assert told["log_loss" + suffix] == pytest.approx(-np.log(np.where(spam, shares, 1 - shares)).mean(), rel=1e-3)
        both = np.stack([1 - shares, shares], axis=1)
        assert told["ece" + suffix] == pytest.approx(ece(both, spam.astype(int), np.ones((1, len(spam))))[0], rel=0.05)
    assert told["log_loss"] != told["log_loss_before"]


def test_scored_labels_calibrate_nothing(tiny_encoder: Path, split_table: Path, tmp_path: Path) -> None:
    turned = pd.read_parquet(split_table)
    scored = turned.split == "test"
    turned.loc[scored, "label"] = np.where(turned.label[scored] == "spam", "ham", "spam")
    turned.to_parquet(tmp_path / "turned.parquet")
    found = [
        nlptl.fit(trained(tiny_encoder, path, TRAINED["lora"]), out=tmp_path / path.stem).model().calibrations
        for path in (split_table, tmp_path / "turned.parquet")
    ]
    assert found[0] == found[1]


def test_an_overconfident_adapter_is_made_honest(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    """Thirty epochs learn wrong labels by heart; a share of the teaching rows tells how far to believe the rest."""
    made = recipe(tiny_encoder, table, {}).model_dump()
    made["train"] = {"epochs": 30, "lr": 0.02, "validation": 0.3, "select": "source"}
    run = nlptl.fit(nlptl.Recipe(**(made | {"tune": {"kind": "full", "lr": 3e-3}})), out=tmp_path / "run")
    assert run.model().calibrations["spam"].fitted_on == "66 rows held back, which chose the epoch too"
    after, before = (np.mean([row[key] for row in run.results["decisions"]]) for key in ("log_loss", "log_loss_before"))
    assert after < before


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"tune": {"kind": "lora"}}, "75 rows held back, which chose the epoch and the augmentation too"),
        ({}, "150 rows out of fold"),
    ],
    ids=["trained", "solved"],
)
def test_views_of_rows_calibrate_nothing(
    tiny_encoder: Path, split_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    sections: dict[str, Any], told: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(augment, "wins", lambda *_: True)
    made = trained(tiny_encoder, split_table, sections | {"augment": [{"kind": "eda", "views_a_row": 2}]})
    run = nlptl.fit(made, out=tmp_path / "run")
    [augmented] = run.results["chosen"][0]["augmented"]
    assert augmented["kept"] and augmented["rows added"] > 200
    assert run.model().calibrations["spam"].fitted_on == told


@pytest.mark.parametrize(
    ("won", "told"),
    [(True, "75 rows held back, which chose the rung and the epoch too"), (False, "150 rows out of fold")],
)
def test_rows_that_chose_the_rung_are_said_to(
    tiny_encoder: Path, split_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, won: bool, told: str
) -> None:
    monkeypatch.setattr(climb, "wins", lambda *_: won)
    made = trained(tiny_encoder, split_table, {"tune": {"kind": "auto", "rungs": ["lora"]}})
    run = nlptl.fit(made, out=tmp_path / "run")
    assert run.results["chosen"][0]["calibrated on"] == run.model().calibrations["spam"].fitted_on == told
    assert {row["calibrated_on"] for row in run.results["decisions"]} == {told}
    assert told in (tmp_path / "run" / "report.html").read_text(encoding="utf-8").split("<h2>Decisions</h2>")[1]


@pytest.mark.parametrize(
    ("sections", "head", "message"),
    [
        ({"tune": {"kind": "lora"}}, {}, r"heads.spam.calibrate: of what is trained .* set train.validation"),
        ({"tune": {"kind": "contrastive"}}, {}, r"held back from it; name data.split with validation rows"),
        ({"encoder": {"pool": "mix"}}, {}, r"heads.spam.calibrate: of what is trained"),
        (
            {"transfer": {"choose": "auto"}},
            {},
            r"heads.spam.calibrate: with transfer.choose: auto every row that teaches",
        ),
        ({}, {"positive": None}, r"calibrate.max_loss: needs one label to be caught"),
        ({}, {"positive": None, "multilabel": True}, r"calibrate.abstain: is for labels that exclude"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    tiny_encoder: Path, table: Path, sections: dict[str, Any], head: dict[str, Any], message: str
) -> None:
    made = recipe(tiny_encoder, table, {"max_loss": 0.1, "abstain": 0.6}).model_dump()
    made["heads"]["spam"] |= head
    with pytest.raises(nlptl.RecipeError, match=message):
        nlptl.Recipe(**(made | sections))
