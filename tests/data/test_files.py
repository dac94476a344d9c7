"""What a path means: a file, a folder, a glob, a template; and the kinds that read tables."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlptl.contracts import Quarantine
from nlptl.data import Csv, Jsonl, Parquet
from nlptl.data._files import FILE, LINE, expand
from nlptl.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rejected(quarantine: Quarantine) -> list[tuple[int, str]]:
    return [(one.line, one.reason.partition(":")[0]) for one in quarantine.rejections]


def csv_rows(path: Path, **settings: Any) -> tuple[pd.DataFrame, Quarantine]:
    quarantine = Quarantine()
    return Csv(path=path, **settings).frame(quarantine), quarantine


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("{user}/{label}.csv", {"ann/ham": ("ann", "ham"), "ann/spam": ("ann", "spam"), "b.b/ham": ("b.b", "ham")}),
        ("**/{label}.csv", {"ann/ham": ("ham",), "ann/spam": ("spam",), "b.b/ham": ("ham",), "deep/x/ham": ("ham",)}),
        ("[ab]*/{label}.csv", {"ann/ham": ("ham",), "ann/spam": ("spam",), "b.b/ham": ("ham",)}),
        ("[!a]?b/h{rest}.csv", {"b.b/ham": ("am",)}),
        ("{a}/{a}.csv", {}),
    ],
)
def test_templates_name_columns(tmp_path: Path, path: str, found: dict[str, tuple[str, ...]]) -> None:
    for name in ("ann/ham", "ann/spam", "b.b/ham", "deep/x/ham"):
        write(tmp_path / f"{name}.csv", "text\na\n")
    if not found:
        with pytest.raises(DataError, match="no file"):
            expand(f"{tmp_path}/{path}")
        return
    matches = {str(one.path.relative_to(tmp_path)): tuple(one.fields.values()) for one in expand(f"{tmp_path}/{path}")}
    assert matches == {f"{name}.csv": fields for name, fields in found.items()}


def test_several_files_are_read_in_order_of_name_with_their_fields(tmp_path: Path) -> None:
    write(tmp_path / "b.csv", "text\nthree\n")
    write(tmp_path / "a.csv", "text\none\ntwo\n")
    table, _ = csv_rows(tmp_path / "{who}.csv")
    assert table[["text", "who", LINE]].values.tolist() == [["one", "a", 2], ["two", "a", 3], ["three", "b", 2]]
    assert table[FILE].tolist() == [str(tmp_path / "a.csv")] * 2 + [str(tmp_path / "b.csv")]


def test_a_folder_means_its_files_of_the_kind_but_hidden_ones(tmp_path: Path) -> None:
    for name in ("a.csv", "sub/b.TSV", "c.txt", ".d.csv", ".git/e.csv"):
        write(tmp_path / name, "text\nx\n")
    assert {Path(name).name for name in csv_rows(tmp_path)[0][FILE]} == {"a.csv", "b.TSV"}


def test_a_path_that_exists_is_no_pattern(tmp_path: Path) -> None:
    assert len(csv_rows(write(tmp_path / "a[1]{x}.csv", "text\na\n"))[0]) == 1


def test_an_absent_file_says_where_and_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mails.csv", "")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        csv_rows(Path("deep/mail.csv"))
    assert str(tmp_path / "deep" / "mail.csv") in str(error.value)
    assert "has: mails.csv" in str(error.value)
    with pytest.raises(DataError, match=r"no file with \.jsonl or \.ndjson files .* has: mails\.csv"):
        Jsonl(path=tmp_path).frame(Quarantine())


def test_a_field_may_not_hide_a_column(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "text,who\nx,y\n")
    with pytest.raises(DataError, match=r"a\.csv has a column 'who'"):
        csv_rows(tmp_path / "{who}.csv")


def test_notebooks_may_pass_a_path_object(tmp_path: Path) -> None:
    assert Csv(path=tmp_path / "a.csv") == Csv(path=str(tmp_path / "a.csv"))


# --- csv --------------------------------------------------------------------------------------------------------------


def test_ragged_and_undecodable_rows_are_refused_with_their_line(tmp_path: Path) -> None:
    content = b'text,label\n"two\nlines",ham\nshort\ncaf\xe9,ham\n\na,b,c\nlast,spam\n'
    table, quarantine = csv_rows(write(tmp_path / "a.csv", content))
    assert table[["text", "label", LINE]].values.tolist() == [["two\nlines", "ham", 2], ["last", "spam", 8]]
    assert rejected(quarantine) == [(4, "wrong column count"), (5, "broken encoding"), (7, "wrong column count")]
    assert "0xe9" in quarantine.rejections[1].reason
    assert quarantine.rejections[2].excerpt == "a,b,c"


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        (b"\xef\xbb\xbftext,label\r\na,\xc3\xa9\r\n", {}),
        ("text;label\na;é\n".encode("cp1252"), {"delimiter": ";", "encoding": "cp1252"}),
        ("text\tlabel\ra\té\r".encode("utf-16"), {"delimiter": "\t", "encoding": "utf-16"}),
        ("a,é".encode(), {"columns": ("text", "label")}),
    ],
    ids=["BOM and CRLF", "cp1252", "UTF-16 and CR", "no header"],
)
def test_csv_of_many_makes(tmp_path: Path, content: bytes, settings: dict[str, Any]) -> None:
    table, quarantine = csv_rows(write(tmp_path / "a.csv", content), **settings)
    assert table[["text", "label"]].values.tolist() == [["a", "é"]]
    assert len(quarantine) == 0


def test_a_stray_quote_costs_one_row(tmp_path: Path) -> None:
    content = 'text,label\na,ham\n"never closed,ham\nb,spam\n"c" d,ham\ne,spam\n'
    table, quarantine = csv_rows(write(tmp_path / "a.csv", content))
    assert table[["text", LINE]].values.tolist() == [["a", 2], ["b", 4], ["e", 6]]
    assert rejected(quarantine) == [(3, "malformed quotes or cells"), (5, "malformed quotes or cells")]


def test_quotes_can_be_text(tmp_path: Path) -> None:
    table, quarantine = csv_rows(write(tmp_path / "a.tsv", 'text\tlabel\n"so\tham\n'), delimiter="\t", quote=None)
    assert (table["text"].tolist(), len(quarantine)) == (['"so'], 0)


def test_nul_bytes_are_refused_and_the_next_row_is_read(tmp_path: Path) -> None:
    table, quarantine = csv_rows(write(tmp_path / "a.csv", b"text,label\na\0b,ham\nc,ham\n"))
    assert table["text"].tolist() == ["c"]
    assert rejected(quarantine) == [(2, "NUL character")]


def test_long_cells_are_read_and_the_limit_of_the_process_stays(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    table, _ = csv_rows(write(tmp_path / "a.csv", "text\n" + "x" * (before + 1) + "\n"))
    assert len(table["text"][0]) == before + 1
    assert csv.field_size_limit() == before


def test_csv_cells_stay_text(tmp_path: Path) -> None:
    table, _ = csv_rows(write(tmp_path / "a.csv", "text,label\nnull,nan\n1.0,007\n"))
    assert table[["text", "label"]].values.tolist() == [["null", "nan"], ["1.0", "007"]]


@pytest.mark.parametrize("content", ["", "\n\n", "text,label\n"])
def test_an_empty_csv_has_no_rows(tmp_path: Path, content: str) -> None:
    assert len(csv_rows(write(tmp_path / "a.csv", content))[0]) == 0


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        (b"a,a\n1,2\n", {}, "two columns 'a'"),
        (b"text\n1\n", {"encoding": "utf-99"}, "'utf-99' is not an encoding"),
        (b"text\n1\n", {"encoding": "utf-16"}, "Set data.encoding"),
    ],
)
def test_csv_that_cannot_be_read(tmp_path: Path, content: bytes, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        csv_rows(write(tmp_path / "a.csv", content), **settings)


# --- jsonl and parquet ------------------------------------------------------------------------------------------------


def test_jsonl_refuses_lines_not_rows(tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"text": "a", "id": 9007199254740993}', b"", b"{broken", b"[1]", b'{"text": "caf\xe9"}',
        b'{"text": "b", "label": null}', b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}",
    ]  # fmt: skip
    quarantine = Quarantine()
    table = Jsonl(path=write(tmp_path / "a.jsonl", b"\r\n".join(lines))).frame(quarantine)
    assert table[LINE].tolist() == [1, 6]
    assert table["id"][0] == 9007199254740993
    reasons = [(3, "not JSON"), (4, "not a JSON object"), (5, "broken encoding"), (7, "not JSON"), (8, "not JSON")]
    assert rejected(quarantine) == reasons


def test_parquet_keeps_long_numbers_beside_nulls(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "id": pa.array([9007199254740993, None], pa.int64())})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = Parquet(path=tmp_path / "a.parquet").frame(Quarantine())
    assert rows["id"].tolist() == [9007199254740993, None]
    assert rows[LINE].tolist() == [1, 2]


def test_long_numbers_stay_whole_beside_a_file_without_them(tmp_path: Path) -> None:
    first, second = 1234567890123456789, 1234567890123456788
    pq.write_table(pa.table({"text": ["a"], "id": [first]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "id": [second]}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"text": ["c"]}), tmp_path / "c.parquet")
    pq.write_table(pa.table({"text": ["d"], "id": [0.5]}), tmp_path / "d.parquet")
    found = Parquet(path=tmp_path).frame(Quarantine())["id"].tolist()
    assert found[:2] == [first, second] and pd.isna(found[2]) and found[3] == 0.5


@pytest.mark.parametrize("content", [b"", b"text\n", gzip.compress(b"x"), b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_damaged_parquet_file_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.parquet is damaged or not a Parquet file"):
        Parquet(path=write(tmp_path / "a.parquet", content)).frame(Quarantine())


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl" / "x", "")
    with pytest.raises(DataError, match="no file"):
        Jsonl(path=tmp_path / "a.jsonl").frame(Quarantine())


def test_kinds_agree_on_the_same_rows(tmp_path: Path) -> None:
    rows = [{"text": 'a,\n"b"', "label": "ham"}, {"text": "é", "label": "spam"}]
    table = pd.DataFrame(rows)
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    for kind in (Csv, Jsonl, Parquet):
        source = kind(path=tmp_path / f"a.{kind.__name__.lower()}")
        assert source.frame(Quarantine())[["text", "label"]].to_dict("records") == rows
