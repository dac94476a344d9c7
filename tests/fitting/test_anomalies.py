"""Rows labelled as out of scope never teach, and every score says how well it tells them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import nlptl
from nlptl.diagnosing.look import Look
from nlptl.fitting.anomalies import area


def table(split: bool) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kinds = {"money": "win a cash prize", "work": "the report of the meeting", "oos": "water oil down day part long"}
    rows = [
        {"text": " ".join(rng.permutation([*text.split(), str(n)])), "label": label,
         "split": "test" if n % 3 == 0 else "train"}
        for label, text in kinds.items() for n in range(45)
    ]  # fmt: skip
    return pd.DataFrame(rows) if split else pd.DataFrame(rows).drop(columns="split")


def recipe(
    encoder: Path, *, split: bool = True, kind: str = "linear", labels: bool = False, **evaluate: Any
) -> nlptl.Recipe:
    return nlptl.Recipe(
        data={"kind": "frame", "table": table(split), **({"split": "split"} if split else {})},
        encoder={"model": str(encoder), "max_length": 24},
        heads={"intent": {"kind": kind, "column": "label", **({"labels": ["money", "work"]} if labels else {})}},
        evaluate={"anomalies": {"label": "oos"}, "bootstrap": 100, **evaluate},
    )


@pytest.mark.parametrize("kind", ["linear", "prototype"])
def test_anomalies_are_scored_and_teach_nothing(tiny_encoder: Path, tmp_path: Path, kind: str) -> None:
    run = nlptl.fit(recipe(tiny_encoder, kind=kind), out=tmp_path / "run")
    rows = run.results["anomalies"]
    assert [row["score"] for row in rows] == ["max_softmax", "energy", "mahalanobis", "knn"]
    assert {(row["anomalies"], row["usual"]) for row in rows} == {(15, 30)}
    by = {row["score"]: row for row in rows}
    assert by["knn"]["auroc"] > 0.9 and by["mahalanobis"]["auroc"] > 0.9
    assert all(row["ci95"] == [None, None] for row in rows)  # 15 anomalies say little
    assert run.results["tasks"]["intent"]["labels"] == ["money", "work"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Texts unlike anything that taught" in page


def test_without_official_splits_all_of_them_are_scored(tiny_encoder: Path, tmp_path: Path) -> None:
    run = nlptl.fit(recipe(tiny_encoder, split=False, labels=True), out=tmp_path / "run")
    assert {row["anomalies"] for row in run.results["anomalies"]} == {45}
    assert run.results["tasks"]["intent"]["labels"] == ["money", "work"] and run.results["rejected"] == 0


def test_an_area_lies_in_its_interval() -> None:
    values, truth = np.random.default_rng(0).normal(size=80) + np.repeat([0, 1], 40), np.repeat([False, True], 40)
    found, (low, high) = area(values, truth, np.arange(80), 500, 0)
    assert found == pytest.approx(roc_auc_score(truth, values)) and 0.5 < low < found < high < 1


def test_copies_of_one_anomaly_are_one_text(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = table(False)
    rows.loc[rows.label == "oos", "text"] = "water oil down day"
    made = recipe(tiny_encoder, labels=True).model_dump()
    made |= {"data": {"kind": "frame", "table": rows}, "transfer": {"hold_out": 0.5}}
    found = nlptl.fit(nlptl.Recipe(**made), out=tmp_path / "run").results["anomalies"]
    assert all((row["anomalies"], row["ci95"]) == (45, [None, None]) and row["usual"] > 40 for row in found)


def test_a_diagnosis_does_not_see_them(tiny_encoder: Path) -> None:
    look = Look.at(recipe(tiny_encoder))
    assert look.task.labels == ("money", "work") and len(look.corpus.ids) == 90


def test_a_body_that_learned_is_asked_for_its_logits(tiny_encoder: Path, tmp_path: Path) -> None:
    tuned = recipe(tiny_encoder).model_dump() | {"tune": {"kind": "lora"}, "train": {"max_steps": 2}}
    tuned["data"] = {"kind": "frame", "table": table(True), "split": "split"}
    rows = nlptl.fit(nlptl.Recipe(**tuned), out=tmp_path / "run").results["anomalies"]
    assert len(rows) == 4 and all(0 <= row["auroc"] <= 1 for row in rows)


def test_each_target_is_asked_of_its_own_model(tiny_encoder: Path, tmp_path: Path) -> None:
    """Two users who mean opposite things by one label: what serves one of them says nothing of the other's rows."""
    rows = table(False).assign(user=[("ann", "bob", "cy")[n % 3] for n in range(135)])
    turned = {"money": "work", "work": "money"}
    rows.loc[rows.user == "bob", "label"] = rows.label[rows.user == "bob"].replace(turned)
    made = recipe(tiny_encoder, labels=True).model_dump()
    made["data"] = {"kind": "frame", "table": rows, "domain": "user"}
    made["transfer"] = {"choose": "auto", "target": ["ann", "bob"], "hold_out": 0.5}
    run = nlptl.fit(nlptl.Recipe(**made), out=tmp_path / "run")
    found = run.results["anomalies"]
    assert [row["target"] for row in found] == ["ann"] * 4 + ["bob"] * 4
    scored = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    odd = list(rows.text[rows.label == "oos"])
    for name in ("ann", "bob"):
        [row] = [row for row in found if (row["target"], row["score"]) == (name, "max_softmax")]
        usual = [max(shares) for shares in scored.model[scored.domain == name]]
        strange = run.predict(odd, domain=name)[["intent.money", "intent.work"]].max(axis=1)
        assert row["usual"] == len(usual) and row["anomalies"] == len(odd)
        truth = np.repeat([0, 1], [len(usual), len(odd)])
        assert row["auroc"] == pytest.approx(roc_auc_score(truth, -np.r_[usual, strange]), abs=0.02)


def test_a_label_that_no_row_has_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(nlptl.DataError, match="'none of these' is the label of 0 rows"):
        nlptl.fit(recipe(tiny_encoder, anomalies={"label": "none of these"}), out=tmp_path / "run")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"labels": ("money", "oos")}, "is a label that task 'intent' is to answer"),
        ({"multilabel": True}, "one label a row"),
    ],
)
def test_anomalies_are_no_label_of_the_task(head: dict[str, Any], words: str) -> None:
    with pytest.raises(nlptl.RecipeError, match=words):
        nlptl.Recipe(
            data={"kind": "csv", "path": "x.csv"},
            heads={"intent": {"kind": "linear", "column": "label", **head}},
            evaluate={"anomalies": {"label": "oos"}},
        )
