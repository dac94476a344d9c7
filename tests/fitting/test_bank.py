"""An adapter a domain, from recipe to answers: what is scored is what is served, whoever shares the batch."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail
from peft import PeftModel
from transformers import AutoModel

import nlptl
from nlptl.fitting import bank as fitting_bank
from nlptl.predict import predict_file
from nlptl.tune._shelf import adapter_id

PEOPLE = ("ann", "bob", "cy", "dee")


def recipe(model: Path, path: Path, **tune: Any) -> nlptl.Recipe:
    """Four people, each of whom has labels; dee calls spam what the others call ham."""
    return nlptl.Recipe(
        name="test",
        data={"kind": "parquet", "path": str(path), "domain": "user"},
        transfer={"hold_out": 0.5},
        encoder={"model": str(model), "max_length": 24},
        tune={"kind": "lora", "rank": 2, "per": "domain", "together": 2} | tune,
        heads={"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}},
        train={"epochs": 30, "batch_tokens": 256, "lr": 3e-2, "precision": "float32"},
        evaluate={"bootstrap": 100},
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    rows = mail(60, PEOPLE)
    turned = rows.user == "dee"
    rows.loc[turned, "label"] = np.where(rows.label[turned] == "spam", "ham", "spam")
    rows.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def run(tiny_encoder: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> nlptl.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NLPTL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return nlptl.fit(recipe(tiny_encoder, table), out=tmp_path_factory.mktemp("out") / "run")


def test_each_user_is_served_by_his_own_adapter(run: nlptl.Run) -> None:
    domains = run.results["tasks"]["spam"]["domains"]
    assert {domain: row["shipped"] for domain, row in domains.items()} == dict.fromkeys(PEOPLE, "lora")
    texts = ["you can win a free cash prize", "the meeting is on monday"]
    assert list(run.predict(texts, domain="ann")["spam"]) == ["spam", "ham"]
    assert list(run.predict(texts, domain="dee")["spam"]) == ["ham", "spam"]
    mixed = run.predict([*texts, *texts], domain=pd.Series(["ann", "dee", "dee", None]))
    assert list(mixed["spam"])[:3] == ["spam", "spam", "ham"]


def test_what_is_saved_answers_as_what_was_scored(run: nlptl.Run, table: Path, tmp_path: Path) -> None:
    scored = pd.read_parquet(run.folder / "predictions.parquet")
    served = nlptl.load(run.folder)
    assert served.shelf is not None and set(served.shelf.domains) == set(PEOPLE)
    rows = pd.read_parquet(table)
    everyone = served.predict(list(rows.text), domain=list(rows.user))["spam.spam"].to_numpy()
    assert len(scored) == 120
    for user, part in scored.groupby("domain"):
        reported = np.array([shares[1] for shares in part["model"]])
        assert np.abs(everyone[(rows.user == user).to_numpy()][:, None] - reported).min(axis=0).max() < 1e-6
    copied = nlptl.load(served.save(tmp_path / "copy")).predict(list(rows.text), domain=list(rows.user))
    np.testing.assert_array_equal(copied["spam.spam"], everyone)
    served.save(tmp_path / "copy")  # upon itself


def test_a_file_of_many_users_is_answered_each_by_his_own(run: nlptl.Run, table: Path, tmp_path: Path) -> None:
    predict_file(run.folder, table, tmp_path / "answers.csv", domain="user")
    rows, answers = pd.read_parquet(table), pd.read_csv(tmp_path / "answers.csv")
    expected = nlptl.load(run.folder).predict(list(rows.text), domain=list(rows.user))
    np.testing.assert_allclose(answers["spam.spam"], expected["spam.spam"])
    shared = nlptl.load(run.folder).predict(list(rows.text))
    assert np.abs(answers["spam.spam"] - shared["spam.spam"]).max() > 0.1


def test_each_folder_is_a_stock_peft_adapter(run: nlptl.Run, tiny_encoder: Path) -> None:
    for person in PEOPLE:
        folder = run.folder / "model" / "adapters" / adapter_id(person)
        body = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_encoder), str(folder))
        assert body.peft_config["default"].r == 2


@pytest.mark.parametrize("train", [{"label_smoothing": 0.3}, {"focal_gamma": 2.0}, {"r_drop": 1.0}])
def test_what_is_minimised_is_what_the_recipe_says(
    run: nlptl.Run, tiny_encoder: Path, table: Path, tmp_path: Path, train: dict[str, float]
) -> None:
    plain = recipe(tiny_encoder, table)
    made = plain.model_copy(update={"train": plain.train.model_copy(update=train)})
    nlptl.fit(made, out=tmp_path / "run")
    first = [
        json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])["loss"]
        for folder in (run.folder, tmp_path / "run")
    ]
    assert abs(first[0] - first[1]) > 1e-3


def test_how_many_train_together_changes_no_answer(
    run: nlptl.Run, tiny_encoder: Path, table: Path, tmp_path: Path
) -> None:
    """Dropout draws differ between batches; without it, waves of two are waves of four."""
    from nlptl.encoder.backbone import Backbone

    load = Backbone.load

    def without_dropout(settings: Any, *, device: Any = "cpu") -> Backbone:
        backbone = load(settings, device=device)
        for module in backbone.modules():
            if hasattr(module, "p"):
                module.p = 0.0
        return backbone

    answers = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Backbone, "load", without_dropout)
        for together in (2, 4):
            made = nlptl.fit(recipe(tiny_encoder, table, together=together), out=tmp_path / str(together))
            answers.append(pd.read_parquet(made.folder / "predictions.parquet").set_index("id")["model"].sort_index())
    np.testing.assert_allclose(np.stack(list(answers[0])), np.stack(list(answers[1])), atol=2e-3)


def test_a_run_that_was_stopped_goes_on_with_the_next_users(
    run: nlptl.Run, tiny_encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    real = fitting_bank.train_lanes

    def once(network: Any, bank: Any, examples: Any, lanes: Any, **others: Any) -> None:
        if trained == [2]:
            trained.append(0)
            raise KeyboardInterrupt
        trained.append(len(set(lanes)))
        real(network, bank, examples, lanes, **others)

    monkeypatch.setattr(fitting_bank, "train_lanes", once)
    made = recipe(tiny_encoder, table)
    with pytest.raises(KeyboardInterrupt):
        nlptl.fit(made, out=tmp_path / "run")
    again = nlptl.fit(made, out=tmp_path / "run", resume=True)
    assert trained == [2, 0, 2]
    assert json.dumps(again.results["tasks"]) == json.dumps(run.results["tasks"])
    logs = [(folder / "metrics.jsonl").read_text() for folder in (run.folder, tmp_path / "run")]
    assert logs[0] == logs[1]
    nlptl.fit(made, out=tmp_path / "run", resume=True)
    assert trained == [2, 0, 2] and (tmp_path / "run" / "metrics.jsonl").read_text() == logs[0]


@pytest.mark.parametrize(
    ("section", "settings", "said"),
    [
        ("tune", {"dora": True}, "tune.dora.*stacks plain LoRA"),
        ("tune", {"layers": "auto"}, "tune.layers.*not chosen for adapters of single domains"),
        ("transfer", {"target_labels": 0}, "transfer.target_labels.*learns each target's adapter"),
        ("train", {"validation": 0.1}, "train.validation.*each domain trains by itself"),
        ("heads", {"spam": {"kind": "mlp", "column": "label"}}, "heads.spam.kind.*'mlp' cannot be stacked"),
    ],
)
def test_what_cannot_be_stacked_is_refused(
    tiny_encoder: Path, table: Path, section: str, settings: dict[str, Any], said: str
) -> None:
    described = recipe(tiny_encoder, table).model_dump()
    with pytest.raises(nlptl.RecipeError, match=said):
        nlptl.Recipe(**described | {section: described[section] | settings})


def test_adapters_of_another_run_in_the_folder_do_not_answer(run: nlptl.Run) -> None:
    """Those that are not in memory yet are read from the run's folder."""
    with pytest.raises(nlptl.ModelError, match="holds another run by now"):
        replace(run, token="another").predict(["win a prize"], domain="ann")


def test_a_column_of_texts_is_read_by_place(run: nlptl.Run) -> None:
    texts, whose = ["you can win a free cash prize", "the meeting is on monday"], ["dee", "ann"]
    expected = run.model().probabilities(texts, domains=whose)["spam"]
    found = run.model().probabilities(pd.Series(texts, index=[1, 0]), domains=whose)["spam"]  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, atol=1e-6)
