"""Where answers are written to: never upon what is read, and what cannot be written is known before the work."""

from pathlib import Path

import pandas as pd
import pytest
from made_model import made

import nlptl
from nlptl import predict
from nlptl.predict import predict_file


@pytest.fixture
def model(tiny_encoder: Path, tmp_path: Path) -> Path:
    return made(tiny_encoder).save(tmp_path / "model")


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with texts in it, in ``box`` and in ``ann``."""
    for name in ("in.csv", "box/part-1.csv", "ann/in.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text\nwin\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("in.csv", "in.csv"),
        ("in.csv", "box/../in.csv"),
        ("box", "box/answers.csv"),
        ("box", "box/deep/answers.parquet"),
        ("box/*.csv", "box/answers.csv"),
        ("**/*.csv", "new/answers.csv"),
        ("{user}/in.csv", "bob/in.csv"),
    ],
)
def test_what_is_read_is_not_replaced_or_added_to(given: str, output: str, model: Path, inbox: Path) -> None:
    before = {path: path.read_bytes() for path in inbox.rglob("*") if path.is_file()}
    for path in (Path(output), inbox / output):
        with pytest.raises(nlptl.DataError, match=r"is part of the input .* or would be when that is read again; name"):
            predict_file(model, Path(given), path)
    assert {path: path.read_bytes() for path in inbox.rglob("*") if path.is_file()} == before


def test_a_link_to_the_output_is_seen(model: Path, inbox: Path) -> None:
    (inbox / "box" / "linked.csv").symlink_to(inbox / "in.csv")
    with pytest.raises(nlptl.DataError, match="is part of the input box"):
        predict_file(model, Path("box"), Path("in.csv"))


@pytest.mark.parametrize(
    ("given", "output"), [("box/part-*.csv", "box/answers.csv"), ("box", "answers.csv"), ("{user}/in.csv", "in2.csv")]
)
def test_what_is_not_read_is_no_input(given: str, output: str, model: Path, inbox: Path) -> None:
    assert pd.read_csv(predict_file(model, Path(given), Path(output)))["problem"].isna().all()


def test_what_cannot_be_written_is_told_before_anything_is_answered(
    model: Path, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(*_: object) -> None:
        raise AssertionError("a chunk was answered")

    monkeypatch.setattr(predict, "_answer", answered)
    with pytest.raises(nlptl.DataError, match=r"ann/in\.csv/out\.csv cannot be written \(.*\); name another"):
        predict_file(model, Path("in.csv"), Path("ann/in.csv/out.csv"))
    (inbox / "out.csv").mkdir()
    with pytest.raises(nlptl.DataError, match=r"out\.csv cannot be written \(it is a folder\)"):
        predict_file(model, Path("in.csv"), Path("out.csv"))
