"""Calibrated heads from recipe to saved model: what is fitted, kept, applied and told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl


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


@pytest.mark.parametrize(
    ("sections", "head", "message"),
    [
        ({"tune": {"kind": "lora"}}, {}, r"heads.spam.calibrate: is fitted on logits of solved heads"),
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
