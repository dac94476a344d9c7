"""Models that say of a text that it is unlike anything that taught them: fitted, kept, applied and told."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf

import nlptl
from nlptl.fitting import augment as fitting_augment
from nlptl.predict import predict_file

KINDS = {"money": "win a cash prize", "work": "the report of the meeting", "place": "gas contract for people"}
STRANGE = ["water oil down day part long", "part day long oil", "zz qq xx vv kk jj"]


def table(rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Texts of three labels in three users' words, in official splits."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame([
        {"text": " ".join(rng.permutation([*text.split(), str(n)])), "label": label, "user": "abc"[n % 3],
         "split": ("train", "train", "validation", "test")[n % 4]}
        for label, text in KINDS.items() for n in range(rows)
    ])  # fmt: skip


def recipe(encoder: Path, anomaly: dict[str, Any] | None, head: dict[str, Any] | None = None, **sections: Any) -> Any:
    settings: dict[str, Any] = {
        "data": {"kind": "frame", "table": table(), "split": "split"},
        "encoder": {"model": str(encoder), "max_length": 24, "pool": "last"},
        "heads": {"intent": {"kind": "linear", "column": "label", "anomaly": anomaly} | (head or {})},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**(settings | sections))


TRAINED = {"tune": {"kind": "lora", "rank": 2}, "train": {"max_steps": 3, "batch_rows": 16}}
CASES: dict[str, dict[str, Any]] = {
    "energy": {"anomaly": {"share": 0.1}},
    "mahalanobis": {"anomaly": {"score": "mahalanobis", "share": 0.1}},
    "prototype": {"anomaly": {"share": 0.1}, "head": {"kind": "prototype"}},
    "trained": {"anomaly": {"share": 0.1}, **TRAINED},
    "trained, mahalanobis": {"anomaly": {"score": "mahalanobis", "share": 0.1}, **TRAINED},
    "mlp": {"anomaly": {"share": 0.1}, "head": {"kind": "mlp", "hidden": [8]}, "train": {"max_steps": 3}},
    "per domain": {
        "anomaly": {"share": 0.1}, "head": {"per": "domain"},
        "data": {"kind": "frame", "table": table(), "split": "split", "domain": "user"},
    },
    "a lora each": {
        "anomaly": {"share": 0.1}, "tune": {"kind": "lora", "rank": 2, "per": "domain"}, "train": {"max_steps": 2},
        "data": {"kind": "frame", "table": table(), "split": "split", "domain": "user"},
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_fitted_is_kept_and_answers_alike(tiny_encoder: Path, tmp_path: Path, case: str) -> None:
    run = nlptl.fit(recipe(tiny_encoder, **CASES[case]), out=tmp_path / "run")
    texts, whose = [*table().text[:6], *STRANGE], [*"abcabc", "a", "b", "nobody"]
    kept, again = run.model(), nlptl.load(tmp_path / "run")
    answers = again.predict(texts, domain=whose)
    pd.testing.assert_frame_equal(answers, kept.predict(texts, domain=whose), atol=1e-4)
    [gauge] = again.gauges.values()
    assert gauge.threshold == kept.gauges["intent"].threshold is not None
    assert list(answers["intent.anomalous"]) == list(answers["intent.anomaly"] >= gauge.threshold)
    row = run.results["chosen"][0]
    by_folds = case in ("energy", "mahalanobis", "prototype", "per domain")
    assert row["anomaly threshold"] == gauge.threshold
    assert row["anomaly threshold fitted on"].startswith("90 rows out of fold" if by_folds else "45 rows held back")
    told = run.results["strange"]
    assert sum(one["n"] for one in told) == 45 and {one["share"] for one in told} == {0.1}
    card = (tmp_path / "run" / "model" / "README.md").read_text(encoding="utf-8")
    flagged = sum(one["n"] * one["flagged"] for one in told) / 45
    assert card.count("`intent.anomalous`") == 1 and f"Of the 45 scored rows it flagged {100 * flagged:.1f} %" in card
    assert "calls strange" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("score", ["energy", "mahalanobis"])
def test_a_refit_keeps_the_threshold_of_the_training_before(tiny_encoder: Path, tmp_path: Path, score: str) -> None:
    """The rows that set it have taught since: their scores by the model that serves would be too low."""
    found = {}
    for refit in (False, True):
        made = recipe(
            tiny_encoder, {"score": score, "share": 0.1}, tune={"kind": "lora", "rank": 2},
            data={"kind": "frame", "table": table()},
            train={"max_steps": 3, "batch_rows": 16, "validation": 0.4, "refit": refit},
        )  # fmt: skip
        found[refit] = nlptl.fit(made, out=tmp_path / str(refit))
    gauges = {refit: run.model().gauges["intent"] for refit, run in found.items()}
    assert gauges[True].threshold == pytest.approx(gauges[False].threshold)
    assert "held back from the training before the refit" in gauges[True].fitted_on
    once, again = (found[refit].predict(STRANGE)["intent.anomaly"] for refit in (False, True))
    assert not np.allclose(once, again)


def test_views_of_rows_that_set_the_threshold_have_no_part_in_it(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refit has taught views of the rows held back; distances to means that hold a row's views are too small."""
    monkeypatch.setattr(fitting_augment, "wins", lambda dear, cheap: True)
    thresholds = []
    for refit in (False, True):
        made = recipe(
            tiny_encoder, {"score": "mahalanobis", "share": 0.1}, tune={"kind": "lora", "rank": 2},
            data={"kind": "frame", "table": table()}, augment=[{"kind": "eda", "views_a_row": 2}],
            train={"max_steps": 3, "batch_rows": 16, "validation": 0.4, "refit": refit},
        )  # fmt: skip
        gauge = nlptl.fit(made, out=tmp_path / str(refit)).model().gauges["intent"]
        assert gauge.fitted_on.endswith("the augmentation too")
        thresholds.append(gauge.threshold)
    assert thresholds[1] == pytest.approx(thresholds[0])


def test_two_processes_agree_with_one(tiny_encoder: Path, tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "texts.parquet")
    made = recipe(
        tiny_encoder, {"score": "mahalanobis", "share": 0.1},
        data={"kind": "parquet", "path": str(tmp_path / "texts.parquet"), "split": "split"},
        tune={"kind": "lora", "rank": 2, "dropout": 0}, train={"max_steps": 3, "batch_rows": 16, "dropout": False},
    )  # fmt: skip
    made.save(tmp_path / "recipe.yaml")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "nlptl"]
    subprocess.run(
        [*launch, "run", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "two")], check=True, timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}, capture_output=True,
    )  # fmt: skip
    one, two = nlptl.fit(made, out=tmp_path / "one").model(), nlptl.load(tmp_path / "two")
    assert json.loads((tmp_path / "two" / "lock.json").read_text(encoding="utf-8"))["processes"] == 2
    assert two.gauges["intent"].threshold == pytest.approx(one.gauges["intent"].threshold, rel=1e-3)
    pd.testing.assert_frame_equal(two.predict(STRANGE), one.predict(STRANGE), rtol=1e-3)


def test_energy_is_that_of_the_raw_logits(tiny_encoder: Path, tmp_path: Path) -> None:
    """A temperature changes probabilities, and no score."""
    run = nlptl.fit(recipe(tiny_encoder, {"share": 0.1}, {"calibrate": {}}), out=tmp_path / "run")
    model, texts = run.model(), [*STRANGE, *table().text[:4]]
    assert model.calibrations["intent"].temperature != 1
    logits = model.logits(texts, domains=[None] * len(texts))["intent"]
    assert model.predict(texts)["intent.anomaly"].to_numpy() == pytest.approx(-logsumexp(logits, axis=1))


def test_distances_are_those_of_scikit_learn(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = table()
    run = nlptl.fit(recipe(tiny_encoder, {"score": "mahalanobis", "share": 0.1}), out=tmp_path / "run")
    model = nlptl.load(tmp_path / "run")
    teach = rows[rows.split == "train"]
    seen, asked = (model.shared_logits(list(of))[0]["intent"] for of in (teach.text, STRANGE))
    means = {label: seen[(teach.label == label).to_numpy()].mean(axis=0) for label in KINDS}
    centred = seen - np.stack([means[label] for label in teach.label])
    reference = LedoitWolf(assume_centered=True).fit(centred)
    expected = np.min([reference.mahalanobis(asked - mean) for mean in means.values()], axis=0)
    assert run.predict(STRANGE)["intent.anomaly"].to_numpy() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("score", ["energy", "mahalanobis"])
def test_so_many_rows_like_those_that_teach_are_flagged(tiny_encoder: Path, tmp_path: Path, score: str) -> None:
    """The threshold is a quantile of scores by folds: of rows like these 10 % are beyond it, and all strange ones."""
    many = table(200).assign(split=np.random.default_rng(1).permutation(["train", "test"] * 300))
    sections = {"data": {"kind": "frame", "table": many, "split": "split"}}
    run = nlptl.fit(recipe(tiny_encoder, {"score": score, "share": 0.1}, **sections), out=tmp_path / "run")
    [told] = run.results["strange"]
    assert told["n"] == 300 and 0.03 < told["flagged"] < 0.2
    if score == "mahalanobis":
        assert run.predict(STRANGE)["intent.anomalous"].all()


def test_scored_rows_set_no_threshold(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = table()
    rows.loc[rows.split == "test", "text"] = "water oil " + rows.text[rows.split == "test"]
    found = [
        nlptl.fit(
            recipe(tiny_encoder, {"share": 0.1}, data={"kind": "frame", "table": each, "split": "split"}),
            out=tmp_path / "run",
        ).model().gauges["intent"].threshold
        for each in (table(), rows)
    ]  # fmt: skip
    assert found[0] == found[1] is not None


def test_too_few_rows_set_none_and_the_reason_is_told(
    tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = nlptl.fit(recipe(tiny_encoder, {"share": 0.01}), out=tmp_path / "run")
    reason = "a share of 0.01 takes at least 300 rows to show; here are 90"
    assert f"task intent flags no text as strange: {reason}" in caplog.text
    assert run.results["chosen"][0]["no anomaly threshold"] == reason
    answers = nlptl.load(tmp_path / "run").predict(STRANGE)
    assert answers["intent.anomalous"].isna().all() and answers["intent.anomaly"].notna().all()
    assert "Too few rows" in (tmp_path / "run" / "model" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_file_is_answered_with_the_same_columns(tiny_encoder: Path, tmp_path: Path, ending: str) -> None:
    run = nlptl.fit(recipe(tiny_encoder, {"share": 0.1}), out=tmp_path / "run")
    pd.DataFrame({"text": [*STRANGE, ""]}).to_csv(tmp_path / "texts.csv", index=False)
    out = predict_file(tmp_path / "run", tmp_path / "texts.csv", tmp_path / f"answers.{ending}")
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda path: pd.read_json(path, lines=True)}
    found, expected = read[ending](out), run.predict(STRANGE)
    assert found["intent.anomaly"][:-1].to_numpy() == pytest.approx(expected["intent.anomaly"].to_numpy(), abs=1e-4)
    assert [bool(flag) for flag in found["intent.anomalous"][:-1]] == list(expected["intent.anomalous"])
    assert pd.isna(found["intent.anomalous"].iloc[-1]) and found["problem"].iloc[-1] == "no text"


@pytest.mark.parametrize("score", ["energy", "mahalanobis"])
def test_each_target_has_a_threshold_of_its_own(tiny_encoder: Path, tmp_path: Path, score: str) -> None:
    sections = {
        "data": {"kind": "frame", "table": table(), "split": "split", "domain": "user"},
        "transfer": {"protocol": "leave_one_out", "target_labels": 0},
    }
    run = nlptl.fit(recipe(tiny_encoder, {"score": score, "share": 0.1}, **sections), out=tmp_path / "run")
    assert {row["domain"] for row in run.results["strange"]} == set("abc")
    assert len({row["threshold"] for row in run.results["strange"]}) == 3
    served = nlptl.load(tmp_path / "run")
    answers = served.predict(STRANGE, domain=["a", "b", "c"])
    for place, name in enumerate("abc"):
        alone = run.model(name).predict([STRANGE[place]])
        assert answers["intent.anomaly"][place] == pytest.approx(alone["intent.anomaly"][0], rel=1e-3)
        assert answers["intent.anomalous"][place] == alone["intent.anomalous"][0]
    assert list(served.predict([], domain=[]).columns) == list(answers.columns)


@pytest.mark.parametrize("score", ["energy", "mahalanobis"])
def test_exports_tell_the_same(tiny_encoder: Path, tmp_path: Path, score: str) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed: pip install 'nlptl[onnx]'")
    model = nlptl.fit(recipe(tiny_encoder, {"score": score, "share": 0.1}), out=tmp_path / "run").model()
    expected = model.predict(STRANGE)
    for to in ("onnx", "merged"):
        model.export(tmp_path / to, to=to, texts=[*STRANGE, *table().text])
        found = json.loads((tmp_path / to / "agreement.json").read_text(encoding="utf-8"))["intent"]
        assert found["anomalous"] == found["labels"] == 1
        pd.testing.assert_frame_equal(nlptl.load(tmp_path / to).predict(STRANGE), expected, rtol=1e-3, atol=1e-4)


def test_labelled_anomalies_say_what_the_threshold_catches(tiny_encoder: Path, tmp_path: Path) -> None:
    odd = pd.DataFrame({"text": STRANGE * 4, "label": "oos", "user": "a", "split": "test"})
    sections = {
        "data": {"kind": "frame", "table": pd.concat([table(), odd], ignore_index=True), "split": "split"},
        "evaluate": {"bootstrap": 100, "anomalies": {"label": "oos"}},
    }
    made = recipe(tiny_encoder, {"score": "mahalanobis", "share": 0.1}, **sections)
    run = nlptl.fit(made, out=tmp_path / "run")
    *others, served = run.results["anomalies"]
    assert served["score"] == "served" and all("anomalies_flagged" not in row for row in others)
    flags = run.predict([str(text) for text in odd.text])["intent.anomalous"]
    assert served["anomalies_flagged"] == pytest.approx(flags.mean())
    assert served["usual_flagged"] == pytest.approx(run.results["strange"][0]["flagged"])


@pytest.mark.parametrize(
    ("anomaly", "head", "sections", "message"),
    [
        ({}, {"multilabel": True}, {}, "intent.anomaly: is defined for labels that exclude one another"),
        ({}, {}, {"transfer": {"choose": "auto"}}, "transfer.choose: auto lets every teaching row choose"),
        ({}, {"kind": "prototype", "distance": "euclid"}, {}, "energy needs whole logits"),
        ({"score": "mahalanobis"}, {}, {"tune": {"kind": "lora", "per": "domain"}}, "vectors of one body"),
        ({}, {}, {"tune": {"kind": "lora"}, "data": {"kind": "csv", "path": "x.csv"}}, "anomaly: of what is trained"),
        ({}, {}, {"transfer": {"through": "x"}}, "leave out transfer.through"),
    ],
)
def test_what_cannot_be_told_is_refused(
    tiny_encoder: Path, anomaly: dict[str, Any], head: dict[str, Any], sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(nlptl.RecipeError, match=message):
        recipe(tiny_encoder, anomaly, head, **sections)


@pytest.mark.parametrize(
    ("labels", "message"),
    [({"place": None}, "energy of the two labels money and work"), ({"place": "anomaly"}, "one column of the answers")],
)
def test_labels_that_leave_no_score_are_refused(
    tiny_encoder: Path, tmp_path: Path, labels: dict[str, Any], message: str
) -> None:
    rows = table().replace({"label": labels})
    made = recipe(tiny_encoder, {}, data={"kind": "frame", "table": rows, "split": "split"})
    with pytest.raises(nlptl.RecipeError, match=message):
        nlptl.fit(made, out=tmp_path)


def test_held_back_rows_that_are_all_copies_of_scored_ones_are_told_of_before_anything_is_encoded(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leak guard drops them."""
    rows = table()
    held, scored = (rows.split == split for split in ("validation", "test"))
    rows.loc[held, "text"] = list(rows.text[scored])
    made = recipe(tiny_encoder, {"share": 0.1}, data={"kind": "frame", "table": rows, "split": "split"}, **TRAINED)
    monkeypatch.setattr("nlptl.fitting.encode", None)
    with pytest.raises(nlptl.RecipeError, match="has no labelled row that was held back from what learns"):
        nlptl.fit(made, out=tmp_path / "run")
