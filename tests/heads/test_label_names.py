"""The zero-shot head: what labels are called, and runs in which no label teaches, or none exists."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nlptl
from nlptl.errors import RecipeError
from nlptl.fitting.heads import zero_shot_prior
from nlptl.heads import LabelNames
from nlptl.heads._names import directions, label_vectors, unit
from nlptl.heads._student import zero_shot

TEXTS = ["free cash prize", "win a prize now", "click to win cash", "the gas contract", "report on the meeting",
         "the meeting is on", "cash prize for you", "find the report", "a good movie", "free prize click"]  # fmt: skip


def test_names_are_the_labels_words_where_none_are_given() -> None:
    assert LabelNames().phrasings(("hate_speech", "Sci/Tech", "call-back")) == (
        ("hate speech",), ("Sci/Tech",), ("call back",),
    )  # fmt: skip


def test_named_labels_are_the_label_set() -> None:
    head = LabelNames(names={"ham": ["a mail"], "spam": ["an offer", "a prize"]})
    assert head.labels == ("ham", "spam")
    assert head.phrasings(("spam", "ham")) == (("an offer", "a prize"), ("a mail",))


@pytest.mark.parametrize(
    ("labels", "said"),
    [(("ham", "spam", "news"), "'news' has no name"), (("ham", "Spam"), "'spam' is no label; did you mean 'Spam'")],
)
def test_a_label_without_a_name_and_a_name_without_a_label_are_told(labels: tuple[str, ...], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        LabelNames(names={"ham": ["a mail"], "spam": ["an offer"]}).phrasings(labels)


def recipe(tiny_encoder: Path, table: pd.DataFrame, **sections: Any) -> nlptl.Recipe:
    return nlptl.Recipe(
        data={"kind": "frame", "table": table},
        transfer={"target_labels": 0, **sections.get("transfer", {})},
        encoder={"model": str(tiny_encoder), "max_length": 24},
        heads={"spam": {"kind": "label_names", "names": {"ham": ["the meeting report"], "spam": ["win a cash prize"]},
                        **sections.get("head", {})}},
        evaluate={"bootstrap": 100},
    )  # fmt: skip


def test_names_and_texts_alone_are_enough(tiny_encoder: Path, tmp_path: Path) -> None:
    """No column of labels at all: nothing teaches, nothing is scored, and there is a model that answers."""
    run = nlptl.fit(recipe(tiny_encoder, pd.DataFrame({"text": TEXTS})), out=tmp_path / "run")
    answers = run.predict(TEXTS)["spam"]
    counts = {label: int((answers == label).sum()) for label in ("ham", "spam")}
    assert run.results["tasks"]["spam"]["answers"] == {"n": len(TEXTS), "counts": counts, "abstained": 0}
    said = f"nothing could be scored; answers to 10 texts: ham {counts['ham']}, spam {counts['spam']}"
    assert said in repr(run.results)
    assert run.results["overall"] == {} and run.results["chosen"][0]["calibrated on"] == len(TEXTS)
    written = pd.read_parquet(tmp_path / "run" / "answers.parquet").set_index("text").loc[TEXTS]
    assert list(written["spam"]) == list(answers)
    assert said.partition("; ")[2] in (tmp_path / "run" / "report.html").read_text()
    loaded = nlptl.load(tmp_path / "run").predict(TEXTS)
    assert list(loaded["spam"]) == list(run.predict(TEXTS)["spam"])
    assert set(loaded["spam"]) == {"ham", "spam"}


def test_a_recipe_without_any_labels_is_checked_and_run_from_the_command_line(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nlptl.cli import main

    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"text": TEXTS}).to_csv("mail.csv", index=False)
    Path("zero.yaml").write_text(
        f"data: {{kind: csv, path: mail.csv}}\nencoder: {{model: '{tiny_encoder}', max_length: 24}}\n"
        "transfer: {target_labels: 0}\n"
        "heads: {spam: {kind: label_names, names: {ham: [the meeting report], spam: [win a cash prize]}}}\n",
        encoding="utf-8",
    )
    for command in ("check", "run"):
        with pytest.raises(SystemExit) as end:
            main([command, "zero.yaml"])
        assert not end.value.code
    assert "nothing could be scored; answers to 10 texts" in " ".join(capsys.readouterr().out.split())


def test_labels_are_only_scored_by(tiny_encoder: Path, tmp_path: Path) -> None:
    labels = ["spam", "spam", "spam", "ham", "ham", "ham", "spam", "ham", "ham", "spam"]
    table = pd.DataFrame({"text": [f"{t} {n}" for n in range(4) for t in TEXTS], "spam": labels * 4})
    turned = table.assign(spam=["ham" if label == "spam" else "spam" for label in table["spam"]])
    runs = [nlptl.fit(recipe(tiny_encoder, data, transfer={"hold_out": 0.5}), out=tmp_path / str(place))
            for place, data in enumerate((table, turned))]  # fmt: skip
    answers = [run.predict(TEXTS) for run in runs]
    pd.testing.assert_frame_equal(answers[0], answers[1])
    task = runs[0].results["tasks"]["spam"]
    assert set(task["baselines"]) == {"cosine"}
    assert task["overall"]["accuracy"] == pytest.approx(1 - runs[1].results["tasks"]["spam"]["overall"]["accuracy"])
    assert "cosine" in repr(runs[0].results)
    assert runs[0].results["chosen"][0]["calibrated on"] == 20


def test_a_labelled_row_that_cannot_be_divided_is_no_obstacle(
    tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.DataFrame({"text": TEXTS[:5], "spam": ["spam", "spam", "spam", "ham", "ham"]})
    transfer = {"target_labels": "all", "hold_out": 0.8}
    with caplog.at_level("WARNING", logger="nlptl"):
        run = nlptl.fit(recipe(tiny_encoder, table, transfer=transfer), out=tmp_path / "run")
    assert set(run.results["tasks"]["spam"]["baselines"]) == {"cosine"}
    assert "no baseline that labels teach: turn 'all', task 'spam': the 1 rows that teach" in caplog.text


def test_it_says_where_there_is_nothing_to_calibrate_on(
    tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.DataFrame({"text": TEXTS, "spam": ["spam", "ham"] * 5})
    with caplog.at_level("WARNING", logger="nlptl"):
        nlptl.fit(recipe(tiny_encoder, table, transfer={"hold_out": 1}), out=tmp_path / "run")
    assert "no unlabelled text to calibrate" in caplog.text


def test_the_prior_that_names_make_answers_as_the_zero_shot_head_does() -> None:
    """On texts of one length, whose unit vectors it reads through; and it knows its intercept where texts are there."""
    rng = np.random.default_rng(3)
    names = [rng.normal(size=(2, 6)) for _ in range(3)]
    texts = 2.5 * unit(rng.normal(size=(300, 6)))
    mean = zero_shot_prior(names, texts)
    scores = zero_shot(directions(label_vectors(names)), texts).scores
    assert mean.bias is not None
    np.testing.assert_allclose(texts @ mean.weights + mean.bias, scores(texts))
    assert zero_shot_prior(names, texts[:20]).bias is None  # too few to calibrate on
