"""What recipes read, prediction reads, by the same code and without holding a whole file."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.cli import main
from nlptl.contracts import Quarantine
from nlptl.data._files import FileSource
from nlptl.data._guess import source_of
from nlptl.predict import predict_file
from nlptl.predict.rows import length_of, rows_of, source_like, texts_of

TEXTS = ["win a cash prize", "the report; for monday", "café water"]


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on a file with semicolons, in Windows' encoding."""
    folder = tmp_path_factory.mktemp("dialect")
    mail(rows=20).to_csv(folder / "mail.csv", sep=";", index=False, encoding="cp1252")
    recipe = nlptl.Recipe(
        data=nlptl.data.Csv(path=folder / "mail.csv", domain="user", delimiter=";", encoding="cp1252"),
        encoder={"model": str(tiny_encoder), "max_length": 24},
        heads={"spam": nlptl.heads.Linear(column="label", labels=("ham", "spam"))},
        evaluate={"bootstrap": 100},
    )
    return nlptl.fit(recipe, out=folder / "run").folder / "model"


def mbox(texts: list[str]) -> bytes:
    return b"".join(
        f"From x Mon Jan  1 00:00:00 2024\nContent-Type: text/plain; charset=utf-8\n\n{text}\n\n".encode()
        for text in texts
    )


def write(folder: Path, form: str) -> tuple[Path, list[str]]:
    """``TEXTS`` in the form named: what is asked for, and how it has to be read where that is not plain."""
    table = pd.DataFrame({"text": TEXTS})
    path = folder / f"in.{form.split()[0]}"
    if form.startswith("csv"):
        encoding = form.split()[1]
        table.assign(n=1).to_csv(path, sep=form.split()[2], index=False, encoding=encoding)
    elif form == "tsv":
        table.assign(n=1).to_csv(path, sep="\t", index=False)
    elif form == "ndjson":
        table.to_json(path, orient="records", lines=True)
    elif form == "pq":
        table.to_parquet(path)
    elif form == "mbox":
        path.write_bytes(mbox(TEXTS))
    elif form == "mail without an ending":
        (folder / "Inbox").write_bytes(mbox(TEXTS))
        return folder / "Inbox", ["data.kind=mbox"]
    else:
        inside = folder / "box" / "cur" if form == "maildir" else folder / "box"
        inside.mkdir(parents=True)
        for place, text in enumerate(TEXTS):
            content = f"Content-Type: text/plain; charset=utf-8\n\n{text}\n"
            (inside / f"{place}{'' if form == 'maildir' else '.eml'}").write_text(content, encoding="utf-8")
        return folder / "box", []
    return path, []


FORMS = [
    "csv cp1252 ;", "csv cp1252 ,", "csv utf-8 ,", "csv utf-8-sig ;", "csv utf-16 |", "csv utf-16 ;", "tsv",
    "ndjson", "pq", "mbox", "mail without an ending", "eml", "maildir",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_whatever_recipes_read_is_answered(
    form: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(*_: Any) -> Any:
        raise AssertionError("a table of a whole file was made")

    for name in ("rows", "frame"):
        monkeypatch.setattr(FileSource, name, whole)
        for kind in (nlptl.data.Csv, nlptl.data.Parquet, nlptl.data.Mbox, nlptl.data.Maildir, nlptl.data.Eml):
            monkeypatch.setattr(kind, name, whole)
    path, how = write(tmp_path, form)
    table = pd.read_parquet(predict_file(model, path, tmp_path / "out.parquet", overrides=how))
    expected = nlptl.load(model).predict(TEXTS)
    assert table["problem"].isna().all()
    np.testing.assert_allclose(table["spam.spam"], expected["spam.spam"], atol=1e-5)
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_is_the_table_that_training_reads(form: str, tmp_path: Path) -> None:
    path, how = write(tmp_path, form)
    like = {"kind": "csv", "encoding": "cp1252"}
    source = source_of(path, {}, how, like=like)
    table = source.frame(Quarantine())
    assert list(table["text"]) == TEXTS == texts_of(source)[0] == [row.text for row in rows_of(source)]
    assert length_of(source) >= len(TEXTS) - 1


@pytest.mark.parametrize("form", ["csv utf-16 |", "tsv", "mail without an ending", "maildir"])
def test_an_export_is_compared_on_whatever_recipes_read(
    form: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, how = write(tmp_path, form)
    with pytest.raises(SystemExit) as end:
        main(["export", str(model), "-o", str(tmp_path / "to"), "--to", "merged", "--texts", str(path), *how])
    assert not end.value.code and "of 3 labels agree" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["export", str(model), "-o", str(tmp_path / "to"), "data.kind=mbox"])
    assert end.value.code == 2 and "'data.kind=mbox' says how a file is read" in capsys.readouterr().err


def test_second_texts_are_read_where_the_model_was_taught_by_pairs(model: Path, tmp_path: Path) -> None:
    served = nlptl.load(model)
    served.columns["text_pair"] = "reply"
    pd.DataFrame({"text": ["win", "", "gas"], "reply": ["a", "b", None]}).to_csv(tmp_path / "in.csv", index=False)
    assert texts_of(source_like(served, tmp_path / "in.csv")) == (["win", "gas"], ["a", ""])


def test_second_texts_are_not_read_where_no_pairs_taught(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text;reply\nwin;lose\n")
    for asked in ({"text_pair": "reply"}, {"overrides": ["data.text_pair=reply"]}):
        with pytest.raises(nlptl.DataError, match=r"'reply' is named as .*was not taught by pairs; leave it out"):
            predict_file(model, tmp_path / "in.csv", tmp_path / "out.csv", **asked)  # type: ignore[arg-type]


def test_refused_rows_are_those_of_training_and_keep_their_place(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b'text,n\nwin,1\n"open,2\nx,y,z\nna\xefve,3\n\ncaf\xc3\xa9,4\n')
    source, quarantine = source_of(path, {}), Quarantine()
    table = source.frame(quarantine)
    rows = list(rows_of(source))
    assert [row.text for row in rows if row.problem is None] == list(table["text"]) == ["win", "café"]
    assert [row.problem for row in rows[1:-1]] == [each.reason for each in quarantine.rejections]
    assert len(quarantine) == 3


def test_a_csv_without_a_header_asks_for_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("win,a\ngas,b\n", encoding="utf-8")
    with pytest.raises(nlptl.DataError, match=r"no column 'text'.* no header, .* data\.columns='\[text, …\]'\.$"):
        rows_of(source_of(path, {}))
    assert [row.text for row in rows_of(source_of(path, {}, ["data.columns=[text, label]"]))] == ["win", "gas"]
    pd.DataFrame({"mail": ["win"]}).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(nlptl.DataError, match=r"and --id\.$"):
        rows_of(source_of(tmp_path / "in.parquet", {}))


def test_a_text_may_stand_in_a_column_of_any_name(tmp_path: Path) -> None:
    pd.DataFrame({"answer": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    assert texts_of(source_of(tmp_path / "in.csv", {"text": "answer"}))[0] == TEXTS


def test_names_in_the_path_are_columns(model: Path, tmp_path: Path) -> None:
    for user in ("ann", "zed"):
        (tmp_path / user).mkdir()
        (tmp_path / user / "in.mbox").write_bytes(mbox(TEXTS[:2]))
    output = predict_file(model, tmp_path / "{user}" / "in.mbox", tmp_path / "out.csv", domain="user", id="from")
    table = pd.read_csv(output)
    assert list(table["domain"]) == ["ann", "ann", "zed", "zed"] and table["id"].isna().all()


def test_a_stopped_prediction_of_a_changed_folder_begins_anew(model: Path, tmp_path: Path) -> None:
    from nlptl.predict import _open_parts

    path, _ = write(tmp_path, "eml")
    source = source_of(path, {})
    parts = _open_parts(tmp_path / "out.csv", model, source)
    (parts / "kept").touch()
    assert (_open_parts(tmp_path / "out.csv", model, source) / "kept").is_file()
    (path / "3.eml").write_text("\n\none more")
    assert not (_open_parts(tmp_path / "out.csv", model, source) / "kept").is_file()


@pytest.mark.parametrize(
    ("name", "how", "said"),
    [
        (
            "in.docx",
            [],
            r"ends in '.docx'; known endings: .csv, .eml, .jsonl, .mbox, .mbx, .ndjson, .parquet, .pq, .tsv",
        ),
        ("in.csv", ["train.lr=1"], "'train.lr=1' does not say how .* is read; give settings of data only"),
        ("in.csv", ["data.delimitr=x"], r"data.delimitr: unknown key; did you mean 'delimiter'\?"),
        ("in.csv", ["data.kind=hub", "data.name=x"], "data.kind=hub reads no files"),
        ("in.csv", ["data.encoding=utf-99"], "'utf-99' is not an encoding"),
        ("absent.csv", [], "no file at data.path"),
    ],
)
def test_what_cannot_be_read_is_refused(name: str, how: list[str], said: str, model: Path, tmp_path: Path) -> None:
    if name != "absent.csv":
        (tmp_path / name).write_text("text,n\nwin,1\n")
    with pytest.raises(nlptl.NlptlError, match=said):
        predict_file(model, tmp_path / name, tmp_path / "out.csv", overrides=how)
