"""A run with one model a target, served as one: who answers whom, what is shared, and what has no answer."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl import predict
from nlptl.data._guess import source_of
from nlptl.fitting.folder import file_name
from nlptl.predict import predict_file
from nlptl.saved import targets
from nlptl.saved.targets import TargetModels

PEOPLE = ("ann", "bob.b@x.org", "cy", "dee")
TEXTS = ["win a free cash prize", "the report for monday", "gas contract", "click to get your prize", "x", "people"]
WHOSE = ["dee", "ann", "cy", "bob.b@x.org", "ann", "dee"]


def fitted(encoder: Path, folder: Path, **sections: Any) -> nlptl.Run:
    """Four people's mail; dee calls spam what the others call ham."""
    rows = mail(24, PEOPLE)
    turned = rows.user == "dee"
    rows.loc[turned, "label"] = np.where(rows.label[turned] == "spam", "ham", "spam")
    rows.to_parquet(folder / "mail.parquet")
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(folder / "mail.parquet"), "domain": "user"},
        "encoder": {"model": str(encoder), "max_length": 24, "lexical": "tfidf"},
        "heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.fit(nlptl.Recipe(**{**settings, **sections}), out=folder / "run")


@pytest.fixture(scope="module")
def run(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> nlptl.Run:
    """Each person in turn, taught by the others; the encoder is frozen."""
    transfer = {"protocol": "leave_one_out", "hold_out": 0.5}
    return fitted(tiny_encoder, tmp_path_factory.mktemp("each"), transfer=transfer)


@pytest.fixture(scope="module")
def chosen(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> nlptl.Run:
    """A rung for each person, and beside them the head that all four taught."""
    return fitted(tiny_encoder, tmp_path_factory.mktemp("chosen"), transfer={"choose": "auto", "hold_out": 0.5})


def one_by_one(run: nlptl.Run, texts: list[str], whose: list[str]) -> pd.DataFrame:
    """Each text's answer by the model folder of its domain, loaded alone."""
    folders = {name: run.folder / "model" / file_name(name) for name in set(whose)}
    rows = [nlptl.load(folders[name]).predict([text]) for text, name in zip(texts, whose, strict=True)]
    return pd.concat(rows, ignore_index=True)


def counted_texts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The distinct texts of every pass through an encoder from now on."""
    from nlptl.encoder import store

    passes: list[int] = []
    run = store._run

    def counted(backbone: Any, texts: Any, *more: Any) -> Any:
        passes.append(len(texts))
        return run(backbone, texts, *more)

    monkeypatch.setattr(store, "_run", counted)
    return passes


def test_each_text_is_answered_by_the_model_of_its_domain_in_order(run: nlptl.Run) -> None:
    model = nlptl.load(run.folder)
    assert isinstance(model, TargetModels) and model.domains == tuple(sorted(PEOPLE))
    answers = model.predict(TEXTS, domain=WHOSE)
    pd.testing.assert_frame_equal(answers, one_by_one(run, TEXTS, WHOSE), atol=1e-6)
    same = model.predict(TEXTS[:1] * 2, domain=["dee", "ann"])["spam.spam"]
    assert abs(same[0] - same[1]) > 0.01  # dee's model was not taught by dee
    shares = model.probabilities(TEXTS, domains=WHOSE)["spam"]
    np.testing.assert_allclose(shares[:, 1], answers["spam.spam"])
    logits = model.logits(TEXTS, domains=WHOSE)["spam"]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 0])), shares[:, 1])
    assert "4 in" in repr(model) and model.predict([], domain=[]).shape == (0, 3)


def test_a_domain_may_be_called_all(run: nlptl.Run) -> None:
    named = replace(run, models={"all": run.models["ann"]}, shared=run.models["dee"])
    assert named.model("all") is run.models["ann"] and named.model("bob") is named.model() is run.models["dee"]


def test_words_of_no_texts(run: nlptl.Run) -> None:
    words = run.models["ann"].words
    assert words is not None and words.logits([])["spam"].shape == (0, 1)


def test_models_of_one_frozen_encoder_share_it_and_its_vectors(run: nlptl.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nlptl.load(run.folder)
    passes = counted_texts(monkeypatch)
    model.predict([*TEXTS, *TEXTS], domain=[*WHOSE, *WHOSE[::-1]])
    assert passes == [len(TEXTS)]
    assert isinstance(model, TargetModels)
    [siblings] = model._encoders._kept.values()
    assert len({id(one.network.backbone) for one in siblings.models._kept.values()}) == 1 < len(siblings.models._kept)


def test_models_that_give_way_answer_alike(run: nlptl.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = nlptl.load(run.folder).predict(TEXTS * 2, domain=WHOSE * 2)
    monkeypatch.setattr(targets, "MODELS", 2)
    model = nlptl.load(run.folder)
    model.use_batch_tokens(16)
    for _ in range(2):
        pd.testing.assert_frame_equal(model.predict(TEXTS * 2, domain=WHOSE * 2), expected, atol=1e-6)
    assert isinstance(model, TargetModels)
    [siblings] = model._encoders._kept.values()
    assert len(siblings.models._kept) == 2


def test_models_with_bodies_of_their_own_are_kept_apart(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {
        "transfer": {"protocol": "leave_one_out", "target": ["ann", "cy", "dee"], "hold_out": 0.5},
        "tune": {"kind": "lora", "rank": 2},
        "train": {"max_steps": 2, "batch_tokens": 256, "lr": 0.03},
    }
    run = fitted(tiny_encoder, tmp_path, **sections)
    monkeypatch.setattr(targets, "ENCODERS", 2)
    model, whose = nlptl.load(run.save(tmp_path / "copy")), ["dee", "ann", "cy", "cy", "ann", "dee"]
    for _ in range(2):
        answers = model.predict(TEXTS, domain=whose)
        pd.testing.assert_frame_equal(answers, one_by_one(run, TEXTS, whose), atol=1e-5)
    assert isinstance(model, TargetModels) and len(model._encoders._kept) == 2


def test_a_domain_without_a_model_is_named_where_none_is_shared(run: nlptl.Run) -> None:
    model = nlptl.load(run.folder)
    with pytest.raises(
        nlptl.DataError, match=r"3 of 4 texts are of domains without a model: 'de' \(2\), none named \(1\); did"
    ):
        model.predict(TEXTS[:4], domain=["de", "de", "ann", None])
    with pytest.raises(nlptl.DataError, match=r"2 of 2 texts are of no domain.*transfer.protocol: joint"):
        model.predict(TEXTS[:2])
    for refused in (lambda: model.export("x"), lambda: model.add_domain("x", TEXTS, ["ham"])):
        with pytest.raises(nlptl.ModelError, match=r"one model a target.*name one of them, such as .*ann"):
            refused()


def test_other_domains_have_the_model_that_all_taught(chosen: nlptl.Run) -> None:
    assert set(chosen.models) == set(PEOPLE)
    model, whose = nlptl.load(chosen.folder), ["dee", "zed", None, "ann", "zed", "cy"]
    answers = model.predict(TEXTS, domain=whose)
    shared = nlptl.load(chosen.folder / "model" / "shared.model").predict(TEXTS)
    own = one_by_one(chosen, [TEXTS[0], TEXTS[3], TEXTS[5]], ["dee", "ann", "cy"])
    pd.testing.assert_frame_equal(answers.loc[[1, 2, 4]], shared.loc[[1, 2, 4]], atol=1e-6)
    pd.testing.assert_frame_equal(answers.loc[[0, 3, 5]].reset_index(drop=True), own, atol=1e-6)
    assert list(answers["spam"][:1]) == ["ham"] and list(shared["spam"][:1]) == ["spam"]  # dee means the opposite
    for domain in ("dee", "zed", None):
        pd.testing.assert_frame_equal(
            chosen.predict(TEXTS, domain=domain), model.predict(TEXTS, domain=domain), atol=1e-6
        )


@pytest.mark.parametrize("given", [list, np.array, pd.Series], ids=["list", "array", "column"])
def test_a_run_answers_many_domains_in_one_call(run: nlptl.Run, chosen: nlptl.Run, given: Any) -> None:
    expected = nlptl.load(run.folder).predict(TEXTS, domain=WHOSE)
    pd.testing.assert_frame_equal(run.predict(given(TEXTS), domain=given(WHOSE)), expected, atol=1e-6)
    whose = ["dee", "zed", None, "ann", float("nan"), " cy "]  # what no one is named for, all taught
    answers = chosen.predict(TEXTS, domain=given(whose) if given is not np.array else np.array(whose, dtype=object))
    own = nlptl.load(chosen.folder).predict(TEXTS, domain=["dee", "zed", None, "ann", None, "cy"])
    pd.testing.assert_frame_equal(answers, own, atol=1e-6)
    assert run.predict([], domain=given([])).shape == (0, 3)


def test_domains_that_cannot_be_served_are_told_row_by_row(run: nlptl.Run) -> None:
    with pytest.raises(
        nlptl.DataError, match=r"3 of 4 texts are of domains without.* 'zed' \(2\), none named \(1\)\. Each"
    ):
        run.predict(TEXTS[:4], domain=["zed", "ann", None, "zed"])
    with pytest.raises(nlptl.DataError, match=r"2 of 2 texts are of no domain\. Each target.*\(ann, bob"):
        run.predict(TEXTS[:2])
    with pytest.raises(nlptl.DataError, match="2 texts and 3 domains were given"):
        run.predict(TEXTS[:2], domain=["ann", "cy", "dee"])
    with pytest.raises(nlptl.DataError, match=r"domain of text 1 is \['ann'\] \(not text: list\)"):
        run.predict(TEXTS[:2], domain=["ann", ["ann"]])  # type: ignore[list-item]
    with pytest.raises(nlptl.DataError, match=r"none for domain 'qqq'\. Choices: ann"):
        run.model("qqq")


def test_rows_without_a_domain_have_the_model_that_they_were_scored_with(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = mail(24, PEOPLE)
    rows.assign(seen=rows.user.where(rows.user != "cy", None)).to_parquet(tmp_path / "mail.parquet")
    recipe = nlptl.Recipe(
        data={"kind": "parquet", "path": str(tmp_path / "mail.parquet"), "domain": "seen"},
        transfer={"protocol": "leave_one_out", "hold_out": 0.5},
        encoder={"model": str(tiny_encoder), "max_length": 24},
        heads={"spam": {"kind": "linear", "column": "label"}},
        evaluate={"bootstrap": 100},
    )
    run = nlptl.fit(recipe, out=tmp_path / "run")
    model = nlptl.load(run.folder)
    expected = model.predict(TEXTS, domain="(none)")
    for served in (run, model):
        pd.testing.assert_frame_equal(served.predict(TEXTS, domain=[None] * 6), expected, atol=1e-6)
    pd.DataFrame({"text": TEXTS, "seen": None}).to_csv(tmp_path / "in.csv", index=False)
    table = pd.read_csv(predict_file(run.folder, tmp_path / "in.csv", tmp_path / "out.csv"))
    np.testing.assert_allclose(table["spam.spam"], expected["spam.spam"], atol=1e-6)
    assert table["problem"].isna().all()


def test_the_shared_model_can_be_saved_alone(chosen: nlptl.Run, tmp_path: Path) -> None:
    alone = nlptl.load(chosen.save(tmp_path / "zed", domain="zed"))
    assert not isinstance(alone, TargetModels)
    pd.testing.assert_frame_equal(alone.predict(TEXTS), chosen.predict(TEXTS, domain="zed"), atol=1e-6)


def write(folder: Path, whose: list[str | None]) -> Path:
    path = folder / "in.csv"
    pd.DataFrame({"text": TEXTS, "user": whose}).to_csv(path, index=False)
    return path


def test_a_file_is_answered_row_by_row_and_what_has_no_model_is_told(
    run: nlptl.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(predict, "CHUNK", 2)
    whose = ["dee", "zed", "cy", None, "ann", "zed"]
    table = pd.read_csv(predict_file(run.folder, write(tmp_path, whose), tmp_path / "out.csv"))
    assert list(table["domain"].fillna("")) == [name or "" for name in whose]
    assert list(table["problem"].fillna("")) == [
        "", "no model for the domain: 'zed'", "", "no domain", "", "no model for the domain: 'zed'",
    ]  # fmt: skip
    own = one_by_one(run, [TEXTS[0], TEXTS[2], TEXTS[4]], ["dee", "cy", "ann"])
    np.testing.assert_allclose(table["spam.spam"][[0, 2, 4]], own["spam.spam"], atol=1e-6)
    assert "3 of 6 rows have no answer" in caplog.text
    assert "2 × no model for the domain ('zed'), 1 × no domain" in caplog.text


def test_a_file_of_other_domains_is_answered_by_the_shared_model_and_told(
    chosen: nlptl.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whose = ["dee", "zed", "cy", None, "ann", "zed"]
    table = pd.read_csv(predict_file(chosen.folder, write(tmp_path, whose), tmp_path / "out.csv"))
    expected = nlptl.load(chosen.folder).predict(TEXTS, domain=whose)
    np.testing.assert_allclose(table["spam.spam"], expected["spam.spam"], atol=1e-6)
    assert table["problem"].isna().all()
    assert "3 rows of domains without a model of their own" in caplog.text and "zed (2), none named (1)" in caplog.text


def test_a_file_without_the_column_of_domains_is_answered_by_what_is_shared_and_told(
    chosen: nlptl.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pd.DataFrame({"text": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    shared = nlptl.load(chosen.folder / "model" / "shared.model").predict(TEXTS)
    for columns in ("as trained", "none"):
        copy = chosen.save(tmp_path / columns)
        for described in copy.glob("*/model.json"):
            known = json.loads(described.read_text())
            known["columns"]["domain"] = "user" if columns == "as trained" else None  # domains were sources' names
            described.write_text(json.dumps(known))
        caplog.clear()
        table = pd.read_csv(predict_file(copy, tmp_path / "in.csv", tmp_path / "out.csv"))
        np.testing.assert_allclose(table["spam.spam"], shared["spam.spam"], atol=1e-6)
        assert table["problem"].isna().all()
        assert "no row names its domain: all 6 were answered by what all domains share" in caplog.text
    with pytest.raises(nlptl.DataError, match=r"has no column 'user'"):  # as it was asked for
        predict_file(chosen.folder, tmp_path / "in.csv", tmp_path / "out.csv", domain="user")


def test_a_file_without_the_column_of_domains_is_refused_where_nothing_is_shared(
    run: nlptl.Run, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("text\nwin\n")
    known = r"Each target of this run has its own model \(ann, bob.b@x.org, cy, dee\)"
    with pytest.raises(nlptl.DataError, match=rf"has no column 'user'.*--domain.*{known}"):
        predict_file(run.folder, tmp_path / "in.csv", tmp_path / "out.csv")
    copy = run.save(tmp_path / "copy")
    for described in copy.glob("*/model.json"):
        described.write_text(described.read_text().replace('"domain": "user"', '"domain": null'))
    with pytest.raises(nlptl.DataError, match=rf"name the column of the domains with --domain. {known}"):
        predict_file(copy, tmp_path / "in.csv", tmp_path / "out.csv")


def test_parts_of_another_state_of_the_models_are_not_gone_on_with(run: nlptl.Run, tmp_path: Path) -> None:
    copy = run.save(tmp_path / "copy")
    source = source_of(write(tmp_path, list(WHOSE)), {})
    first = predict._open_parts(tmp_path / "out.csv", copy, source)
    (first / "00000000.parquet").write_text("kept")
    predict._open_parts(tmp_path / "out.csv", copy, source)
    assert (first / "00000000.parquet").is_file()
    heads = copy / "cy" / "heads.safetensors"
    heads.write_bytes(heads.read_bytes() + b" ")
    predict._open_parts(tmp_path / "out.csv", copy, source)
    assert not (first / "00000000.parquet").is_file()


def test_what_is_damaged_or_older_is_named(run: nlptl.Run, tmp_path: Path) -> None:
    copy = run.save(tmp_path / "copy")
    index = json.loads((copy / "targets.json").read_text())
    assert index["shared"] is None and set(index["targets"]) == set(PEOPLE)
    (copy / "targets.json").write_text(json.dumps({"targets": {}}))
    with pytest.raises(nlptl.ModelError, match="is damaged"):
        nlptl.load(copy)
    (copy / "targets.json").unlink()
    with pytest.raises(nlptl.ModelError, match=r"one model a target: ann, bob_b_x_org-\w+, cy, dee \(name one"):
        nlptl.load(copy)
