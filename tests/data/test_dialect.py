"""Which encoding and delimiter a CSV file is taken to have, by its bytes."""

import codecs
import logging
from pathlib import Path

import pytest

from nlptl.contracts import Quarantine
from nlptl.data import Csv, _dialect
from nlptl.data._dialect import dialect_of, encoding_of
from nlptl.data._files import LINE
from nlptl.data._guess import source_of
from nlptl.predict.rows import length_of, rows_of

GERMAN = "text;label\nGrüße aus Köln;ham\nÖffnen Sie für 5 €;spam\n"


@pytest.mark.parametrize(
    ("written", "usual", "found"),
    [
        ("utf-8", "utf-8", "utf-8"),
        ("utf-8", "cp1252", "utf-8"),
        ("utf-8", "utf-16", "utf-8"),
        ("utf-8-sig", "cp1252", "utf-8"),
        ("cp1252", "utf-8", "cp1252"),
        ("cp1252", "utf-16", "cp1252"),
        ("iso8859-15", "iso-8859-15", "iso-8859-15"),
        ("utf-16", "utf-8", "utf-16"),
        ("utf-32", "cp1252", "utf-32"),
    ],
)
def test_the_bytes_tell_the_encoding(written: str, usual: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(GERMAN.encode(written))
    seen = dialect_of(tmp_path / "in.csv", encoding=usual)
    assert seen == {"encoding": found, "delimiter": ";"}
    assert (tmp_path / "in.csv").read_bytes().decode(seen["encoding"]).removeprefix("\ufeff") == GERMAN


@pytest.mark.parametrize("sign", [",", ";", "|", "\t", "#"])
def test_a_delimiter_is_said_without_quotes(sign: str, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nwin\n")
    assert source_of(tmp_path / "in.csv", {}, [f"data.delimiter={sign}"]).delimiter == sign  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("some", "usual", "found"),
    [
        (b"text\nplain\n", "cp1252", "cp1252"),
        (b"text\nplain\n", "utf-16", "utf-8"),
        ("text\nplain\n".encode("utf-16-le"), "utf-16-le", "utf-16-le"),  # without a mark
        (codecs.BOM_UTF16_BE + "x".encode("utf-16-be"), "utf-8", "utf-16"),
        ("Köln, Fürth".encode() + b" \xfc", "utf-8", "utf-8"),  # one broken row is no other encoding
        (b"Fr\xfchst\xfcck", "utf-8", "cp1252"),
        (b"caf\xe9", "utf-8", "cp1252"),
        (b"", "utf-8", "utf-8"),
    ],
)
def test_what_few_bytes_tell(some: bytes, usual: str, found: str) -> None:
    assert encoding_of(some, usual) == found


@pytest.mark.parametrize("sign", [",", ";"])
def test_lines_may_end_as_old_macs_end_them(sign: str, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(f"text{sign}label\rwin{sign}spam\rgas{sign}ham\r".encode())
    source = source_of(path, {})
    assert isinstance(source, Csv) and source.delimiter == sign
    assert source.frame(Quarantine())[["text", "label", LINE]].values.tolist() == [
        ["win", "spam", 2],
        ["gas", "ham", 3],
    ]
    assert [row.text for row in rows_of(source)] == ["win", "gas"] and length_of(source) >= 2


def test_a_character_cut_at_the_end_of_what_is_looked_at_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dialect, "START", 9)
    (tmp_path / "in.csv").write_bytes("text\nabc€ and more\n".encode())
    assert dialect_of(tmp_path / "in.csv")["encoding"] == "utf-8"


def test_bytes_beyond_ascii_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dialect, "START", 16)
    (tmp_path / "in.csv").write_bytes(b"text;n\n" + b"plain;1\n" * 20 + b"caf\xe9;2\n")
    assert dialect_of(tmp_path / "in.csv") == {"encoding": "cp1252", "delimiter": ";"}


def test_what_is_taken_is_told_and_what_is_said_holds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(GERMAN.encode("cp1252"))
    source = source_of(path, {}, like={"kind": "csv", "encoding": "utf-8", "delimiter": ","})
    assert (source.encoding, source.delimiter) == ("cp1252", ";")  # type: ignore[attr-defined]
    assert "taken to have encoding 'cp1252' and delimiter ';'" in caplog.text
    assert "append data.encoding=… data.delimiter=…" in caplog.text
    caplog.clear()
    said = source_of(path, {}, ["data.encoding=latin-1", "data.delimiter=','"])
    assert (said.encoding, said.delimiter) == ("latin-1", ",")  # type: ignore[attr-defined]
    source_of(path, {}, like={"kind": "csv", "encoding": "cp1252", "delimiter": ";"})
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
