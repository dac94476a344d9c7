from pathlib import Path

import datasets
import evaluate
import numpy as np
import pytest
from made_mail import mail
from made_predictions import SPAM, TAGS, TOPIC, noisy
from sklearn.metrics import f1_score, roc_auc_score

import nlptl
from nlptl import registry
from nlptl.errors import RecipeError
from nlptl.evaluate import metrics
from nlptl.evaluate.scorers import scorers, try_out


class ErrorRate(evaluate.Metric):
    """A metric as an installed package or a user would bring it."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references) -> dict[str, float]:
        return {"error_rate": float(np.mean(np.asarray(predictions) != np.asarray(references)))}


class RocAuc(evaluate.Metric):
    """With one score a row, as the ``roc_auc`` of ``evaluate`` takes them."""

    def _info(self) -> evaluate.MetricInfo:
        features = {"prediction_scores": datasets.Value("float"), "references": datasets.Value("int64")}
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="", features=datasets.Features(features)
        )

    def _compute(self, prediction_scores, references) -> dict[str, float]:
        return {"roc_auc": float(roc_auc_score(references, prediction_scores))}


def test_every_shipped_name_has_its_module() -> None:
    assert set(registry.METRICS) <= set(registry.metric_names())
    for name in registry.METRICS:
        module = metrics.metric(name)
        assert isinstance(module, evaluate.EvaluationModule) and module.name == name


def test_modules_compute_as_those_of_evaluate_do_and_leave_no_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth, answers = rng.integers(3, size=40), rng.integers(3, size=40)
    inputs = {"predictions": answers, "references": truth}
    assert metrics.metric("accuracy").compute(**inputs)["accuracy"] == pytest.approx((truth == answers).mean())
    macro = metrics.metric("f1").compute(**inputs, average="macro")["f1"]
    assert macro == pytest.approx(f1_score(truth, answers, average="macro"))
    module = metrics.Accuracy(keep_in_memory=True, cache_dir=str(tmp_path))
    module.compute(predictions=[0, 1], references=[0, 0])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_batch_at_a_time_and_labels_that_are_never_predicted() -> None:
    module = metrics.metric("accuracy")
    for answers, truth in [([0, 0], [0, 2]), ([0, 0], [1, 0])]:
        module.add_batch(predictions=answers, references=truth)
    assert module.compute() == {"accuracy": 0.5}


def test_f1_of_a_label_that_no_row_has_is_not_a_number() -> None:
    f1 = metrics.metric("f1")
    assert np.isnan(f1.compute(predictions=[0, 0], references=[0, 0])["f1"])
    assert np.isnan(f1.compute(predictions=[0, 1], references=[1, 0], pos_label=3)["f1"])
    assert f1.compute(predictions=[0, 0], references=[0, 0], average="macro") == {"f1": 1.0}


def test_scores_and_multilabel_rows() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=40)
    scores = noisy(truth, SPAM, 0.7, rng)
    auc = metrics.metric("auc").compute(prediction_scores=scores, references=truth)["auc"]
    assert auc == pytest.approx(roc_auc_score(truth, scores[:, 1]))
    recall = metrics.metric("recall_at_loss")
    assert np.isnan(recall.compute(prediction_scores=scores, references=truth)["recall_at_loss"])
    assert recall.compute(prediction_scores=scores, references=truth, max_loss=1.0) == {"recall_at_loss": 1.0}
    tags = rng.integers(2, size=(30, 3))
    guesses = rng.integers(2, size=(30, 3))
    f1 = metrics.metric("f1", config_name="multilabel").compute(predictions=guesses, references=tags)["f1"]
    assert f1 == pytest.approx(f1_score(tags, guesses, average="macro"))


def test_names_that_are_neither_shipped_nor_installed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not_run(*args: object, **kwargs: object) -> None:
        raise AssertionError("evaluate.load runs scripts")

    monkeypatch.setattr(evaluate, "load", must_not_run)
    with pytest.raises(RecipeError, match=r"no metric 'acuracy'; did you mean 'accuracy'.*recall_at_loss"):
        metrics.metric("acuracy")
    with pytest.raises(RecipeError, match=r"no metric './script'\. Choices: .* nlptl\.fit\(recipe, metrics=\[module\]"):
        scorers(["./script"], SPAM, max_loss=0.01)


def test_a_run_from_python_takes_loaded_modules_beside_the_recipes_metrics(tiny_encoder: Path, tmp_path: Path) -> None:
    mail(30, ("ann", "bob")).to_parquet(tmp_path / "mail.parquet")
    recipe = nlptl.Recipe(
        data={"kind": "parquet", "path": str(tmp_path / "mail.parquet"), "domain": "user"},
        encoder={"model": str(tiny_encoder), "max_length": 24, "pool": "last"},
        heads={"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"]}},
        evaluate={"metrics": ["accuracy"], "bootstrap": 100},
    )
    run = nlptl.fit(recipe, out=tmp_path / "run", metrics=[ErrorRate(keep_in_memory=True)])
    of_task = run.results["tasks"]["spam"]
    for found in (of_task["overall"], *(domain["metrics"] for domain in of_task["domains"].values())):
        assert list(found) == ["accuracy", "error_rate"]
        assert found["error_rate"] == pytest.approx(1 - found["accuracy"])
    assert "error_rate" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


class BinaryOnly(ErrorRate):
    """As the ``f1`` of ``evaluate`` at its defaults."""

    def _compute(self, predictions, references) -> dict[str, float]:
        return {"binary_only": float(f1_score(references, predictions))}


def test_a_module_that_cannot_score_a_task_is_refused_before_training() -> None:
    asked = ["accuracy", BinaryOnly(keep_in_memory=True)]
    try_out(asked, {"spam": SPAM})
    with pytest.raises(RecipeError, match=r"metric 'binary_only' cannot score task 'topic' \(3 labels\): Target"):
        try_out(asked, {"spam": SPAM, "topic": TOPIC})
    with pytest.raises(RecipeError, match=r"cannot score task 'tags' \(multilabel\)"):
        try_out(asked, {"tags": TAGS})
    with pytest.raises(RecipeError, match=r"no metric './script'"):
        try_out(["./script"], {"spam": SPAM})


def test_an_installed_package_adds_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("error_rate", f"{__name__}:ErrorRate", "nlptl.metrics")
    monkeypatch.setattr(registry, "_third_party", lambda room: {"error_rate": point} if room == "metrics" else {})
    monkeypatch.setattr(EntryPoint, "load", lambda self: ErrorRate)
    assert "error_rate" in registry.metric_names()
    (scorer,) = scorers(["error_rate"], SPAM, max_loss=0.01)
    assert scorer.name == "error_rate"


@pytest.mark.parametrize("module", [ErrorRate, RocAuc])
def test_a_loaded_module_is_computed_on_each_resample(module: type[evaluate.Metric]) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=30)
    probabilities = noisy(labels, SPAM, 0.8, rng)
    weights = np.stack([np.ones(30), np.bincount(rng.integers(30, size=30), minlength=30)]).astype(float)
    (scorer,) = scorers([module(keep_in_memory=True)], SPAM, max_loss=0.01)
    wanted = {"error_rate": lambda s: 1 - s[0], "roc_auc": lambda s: s[1]}[scorer.name]
    ours = np.stack([s(probabilities, labels, weights) for s in scorers(["accuracy", "auc"], SPAM, max_loss=0.01)])
    np.testing.assert_allclose(scorer(probabilities, labels, weights), wanted(ours), atol=1e-6)


def test_our_modules_passed_as_loaded_ones_say_what_their_names_say() -> None:
    rng = np.random.default_rng(1)
    for task, shape in ((TOPIC, (30,)), (TAGS, (30, 3))):
        labels = rng.integers(2, size=shape)
        probabilities, every_row = noisy(labels, task, 0.7, rng), np.ones((1, 30))
        config = "multilabel" if task.head.multilabel else None
        named = scorers(["accuracy", "auc"], task, max_loss=0.01)
        loaded = scorers([metrics.metric(s.name, config_name=config) for s in named], task, max_loss=0.01)
        for by_name, by_module in zip(named, loaded, strict=True):
            np.testing.assert_allclose(
                by_module(probabilities, labels, every_row), by_name(probabilities, labels, every_row)
            )
