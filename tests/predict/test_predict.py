"""Answers for a file: every row in order, with a reason where it cannot be read, the same numbers as in a notebook."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl import predict
from nlptl.data._cells import as_labels
from nlptl.predict import predict_file


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with words and a multilabel task beside the binary one."""
    table = mail(rows=20)
    table["tags"] = ["a,b" if place % 3 == 0 else "b" if place % 2 else "a" for place in range(len(table))]
    run = nlptl.fit(
        nlptl.Recipe(
            name="served",
            data=nlptl.data.Frame(table=table, domain="user"),
            encoder={"model": str(tiny_encoder), "max_length": 24, "lexical": "tfidf"},
            heads={
                "spam": nlptl.heads.Linear(column="label", labels=("ham", "spam")),
                "tags": nlptl.heads.Linear(multilabel=True),
            },
            evaluate={"bootstrap": 100},
        ),
        out=tmp_path_factory.mktemp("served") / "run",
    )
    return run.save(tmp_path_factory.mktemp("model"))


TEXTS = ["win a cash prize", "the report for monday", "x", "people look for water"]


def write(folder: Path, suffix: str) -> Path:
    """The texts and, in third place, one that is empty."""
    table = pd.DataFrame({"key": list("abcde"), "text": [*TEXTS[:2], None, *TEXTS[2:]]})
    path = folder / f"in{suffix}"
    if suffix == ".parquet":
        table.to_parquet(path)
    elif suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True)
    return path


READ: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".jsonl": lambda path: pd.read_json(path, lines=True),
}


@pytest.mark.parametrize("given", READ)
@pytest.mark.parametrize("wanted", READ)
def test_every_row_is_answered_in_order(model: Path, tmp_path: Path, given: str, wanted: str) -> None:
    output = predict_file(model, write(tmp_path, given), tmp_path / f"out{wanted}", id="key")
    table = READ[wanted](output)
    assert list(table["id"]) == list("abcde")
    assert list(table["problem"].notna()) == [False, False, True, False, False]
    assert table["problem"][2] == "no text" and pd.isna(table["spam"][2])
    answered = table[table["problem"].isna()]
    expected = nlptl.load(model).predict(TEXTS)
    np.testing.assert_allclose(answered["spam.spam"], expected["spam.spam"], atol=1e-5)
    assert list(answered["spam"]) == list(expected["spam"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({f"in{given}", f"out{wanted}"})


def test_rows_that_cannot_be_read_keep_their_place_and_are_told(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in.csv").write_bytes(b'text,key\nwin,1\nwin,2,3\n\xff\xfe,4\n"two\nlin\xc3\xa9s \xe2\x82\xac",5\n')
    table = pd.read_csv(predict_file(model, tmp_path / "in.csv", tmp_path / "out.csv"))
    assert list(table["id"]) == [0, 1, 2, 3]
    assert list(table["problem"].fillna("")) == [
        "", "wrong column count: 3 where the header has 2", "broken encoding: byte 0xff is not of data.encoding", "",
    ]  # fmt: skip
    assert "2 of 4 rows have no answer" in caplog.text and "1 × wrong column count (3 where" in caplog.text
    (tmp_path / "in.jsonl").write_bytes(b'{"text": "win"}\n{"text": \n[1]\n{"other": 1}\n{"text": 7}\n')
    table = pd.read_csv(predict_file(model, tmp_path / "in.jsonl", tmp_path / "out2.csv"))
    problems = list(table["problem"].fillna(""))
    assert problems[0] == "" and problems[1].startswith("not JSON")
    assert problems[2:] == ["not a JSON object: list", "no text", ""]  # 7 is a text, as in training


def test_a_stopped_prediction_goes_on_and_does_no_chunk_twice(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "CHUNK", 10)
    texts = [f"win {place}" for place in range(35)]
    pd.DataFrame({"text": texts}).to_parquet(tmp_path / "in.parquet")
    answered: list[int] = []
    answer = predict._answer

    def counted(*args: object) -> pd.DataFrame:
        if len(answered) == 2:
            answered.append(-1)
            raise KeyboardInterrupt
        answered.append(args[2])  # type: ignore[arg-type]
        return answer(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(predict, "_answer", counted)
    with pytest.raises(KeyboardInterrupt):
        predict_file(model, tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    predict_file(model, tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert answered == [0, 10, -1, 20, 30]
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    expected = nlptl.load(model).predict(texts)
    assert [row["id"] for row in rows] == [str(place) for place in range(35)]
    np.testing.assert_allclose([row["spam.spam"] for row in rows], expected["spam.spam"], atol=1e-5)


def test_multilabel_answers_are_lists(model: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(predict_file(model, write(tmp_path, ".csv"), tmp_path / "out.parquet"))
    assert set(table["tags"][0]) <= {"a", "b"} and table["tags"][2] is None


def test_multilabel_answers_in_a_csv_are_cells_that_recipes_read(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the model answers: all labels, one, none, and nothing where a row cannot be read."""
    monkeypatch.setattr(predict, "CHUNK", 2)
    answered = iter([["a", "b"], ["b"], [], ["a"]])

    def predicted(self: nlptl.Model, texts: list[str], *_: object, **__: object) -> pd.DataFrame:
        return pd.DataFrame({"spam": "ham", "tags": [next(answered) for _ in texts]})

    monkeypatch.setattr(nlptl.Model, "predict", predicted)
    output = predict_file(model, write(tmp_path, ".csv"), tmp_path / "out.csv", id="key")
    cells = pd.read_csv(output, keep_default_na=False)["tags"].tolist()
    assert cells == ["a,b", "b", "", ",", "a"]
    assert [as_labels(cell, ",", None) for cell in cells] == [["a", "b"], ["b"], None, [], ["a"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", "txt\nwin\n", r"has no column 'text'; did you mean 'txt'\?"),
        ("in.xls", "", r"known endings: .csv, .eml, .jsonl, .mbox.*name the kind"),
        ("in.csv", "text\n", "holds no rows"),
        ("in.parquet", "not parquet", "damaged or not a Parquet file"),
    ],
)
def test_what_cannot_be_answered_at_all_is_refused(
    model: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(nlptl.DataError, match=message):
        predict_file(model, tmp_path / name, tmp_path / "out.csv")
    with pytest.raises(nlptl.DataError, match=r"does not end in .parquet, .csv or .jsonl"):
        predict_file(model, tmp_path / name, tmp_path / "out.txt")


def test_large_fields_and_quotes_survive_a_csv(model: Path, tmp_path: Path) -> None:
    with (tmp_path / "in.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["text"], ['win "cash", now\n' + "people " * 30_000]])
    table = pd.read_csv(predict_file(model, tmp_path / "in.csv", tmp_path / "out.csv"))
    assert len(table) == 1 and table["problem"].isna().all()


def test_a_model_that_is_not_there_or_not_whole_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(nlptl.ModelError, match=r"model.json is absent"):
        nlptl.load(tmp_path)
    described = json.loads((model / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(described | {"base": "0" * 64}))
    (tmp_path / "heads.safetensors").write_bytes((model / "heads.safetensors").read_bytes())
    with pytest.raises(nlptl.ModelError, match="trained on other weights"):
        nlptl.load(tmp_path)
    (tmp_path / "heads.safetensors").write_bytes(b"cut")
    with pytest.raises(nlptl.ModelError, match="is damaged"):
        nlptl.load(tmp_path)


def test_a_bare_string_or_a_missing_text_is_refused(model: Path) -> None:
    served = nlptl.load(model)
    with pytest.raises(nlptl.DataError, match=r"write \[text\]"):
        served.predict("win a prize")
    with pytest.raises(nlptl.DataError, match=r"texts\[1\] is None"):
        served.predict(["win", None])  # type: ignore[list-item]
    assert "ham, spam" in repr(served)
