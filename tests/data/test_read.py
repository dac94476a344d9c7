"""The checks that all kinds share, and the data set that comes out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset, List, Value

from nlptl.contracts import Head, Quarantine, Source
from nlptl.data import Csv, Frame, Jsonl, Mailboxes, Mbox, Parquet
from nlptl.data._read import fingerprint, read
from nlptl.errors import DataError, RecipeError


class Plain(Head):
    """A head of settings only."""

    kind: str = "plain"


SPAM = {"spam": Plain(column="label", labels=("ham", "spam"))}


def rows(
    table: Any, heads: Mapping[str, Head] = SPAM, *, max_rejected: float = 1, **settings: Any
) -> tuple[Dataset, Quarantine]:
    """What ``read`` makes of a table, and what it refused."""
    quarantine = Quarantine()
    source = Frame(table=pd.DataFrame(table), max_rejected=max_rejected, **settings)
    return read(source, heads, quarantine), quarantine


def test_the_columns_and_their_types() -> None:
    table = {"text": ["a", "b"], "label": ["ham", None], "who": ["x", 2], "at": ["2020-01-01", None], "b": ["q", None],
             "part": ["dev", None], "tags": ["u,v", None]}  # fmt: skip
    heads = {**SPAM, "tags": Plain(multilabel=True)}
    found, _ = rows(table, heads, domain="who", time="at", text_pair="b", split="part")
    assert found.features == {
        "id": Value("string"), "text": Value("string"), "text_pair": Value("string"), "spam": Value("string"),
        "tags": List(Value("string")), "domain": Value("string"), "time": Value("float64"), "split": Value("string"),
    }  # fmt: skip
    assert found.remove_columns("id").to_list() == [
        {"text": "a", "text_pair": "q", "spam": "ham", "tags": ["u", "v"], "domain": "x", "time": 1577836800.0,
         "split": "validation"},
        {"text": "b", "text_pair": "", "spam": None, "tags": None, "domain": "2", "time": None, "split": None},
    ]  # fmt: skip


def test_only_what_is_named_comes_out() -> None:
    found, _ = rows({"text": ["a"], "label": ["ham"]})
    assert found.column_names == ["id", "text", "spam", "domain"]
    assert found["domain"][:] == ["all"]


def test_unlabelled_rows_are_kept_and_never_rejected() -> None:
    found, quarantine = rows({"text": list("abcd"), "label": [None, "", float("nan"), "  "]}, max_rejected=0)
    assert (list(found["spam"]), len(quarantine)) == ([None] * 4, 0)


def test_labels_of_other_types_match_text() -> None:
    heads = {"y": Plain(labels=("0", "1"))}
    assert list(rows({"text": list("abc"), "y": [1, 0, None]}, heads)[0]["y"]) == ["1", "0", None]
    heads = {"y": Plain(labels=("false", "true"))}
    assert list(rows({"text": list("ab"), "y": [True, False]}, heads)[0]["y"]) == ["true", "false"]


def test_each_bad_row_is_refused_once_with_its_line_and_reason() -> None:
    table = {
        "text": ["fine", None, "  ", "c", "d", "e", "f", "g", "h", "i"],
        "label": ["ham", "eggs", "ham", "eggs", "ham", "ham", "ham", "ham", "spam", "ham"],
        "at": [1, "soon", 1, 1, "soon", 1, 1, 1, 1, 1],
        "part": ["train"] * 5 + ["other"] + ["train"] * 4,
        "key": ["k1", "k2", "k3", "k4", "k5", "k6", None, "k1", "k5", "k8"],
    }
    found, quarantine = rows(table, time="at", split="part", id="key")
    assert list(found["text"]) == ["fine", "h", "i"]
    assert list(found["id"]) == ["k1", "k5", "k8"]  # the first k5 was refused before
    refused = [(one.file, one.line, one.reason.partition(":")[0]) for one in quarantine.rejections]
    assert refused == [
        ("frame", 2, "no text"), ("frame", 3, "no text"), ("frame", 4, "label not among ham, spam"),
        ("frame", 5, "unparsable date"), ("frame", 6, "split not among test, train, unlabelled, validation"),
        ("frame", 7, "no id"), ("frame", 8, "duplicate id"),
    ]  # fmt: skip
    assert quarantine.rejections[2].excerpt == "c"


def test_too_many_bad_rows_are_told_with_the_most_frequent_reasons(tmp_path: Path) -> None:
    lines = ["text,label"] + ["a,ham"] * 10 + ["b,eggs"] * 4 + ["c"] * 3 + [",ham"] * 2
    file = tmp_path / "a.csv"
    file.write_text("\n".join(lines))
    with pytest.raises(DataError) as error:
        read(Csv(path=file, max_rejected=0.4), SPAM, Quarantine())
    message = str(error.value)
    assert "9 of 19 rows of data (47.4%) cannot be used, more than data.max_rejected = 0.4" in message
    assert f"4 × label not among ham, spam ({file}:12: 'eggs'; {file}:13: 'eggs'; {file}:14: 'eggs')" in message
    assert message.index("4 ×") < message.index("3 × wrong column count") < message.index("2 × no text")
    assert len(read(Csv(path=file, max_rejected=0.5), SPAM, Quarantine())) == 10


@pytest.mark.parametrize("max_rejected", [0, 1])
def test_splits_of_another_kind_can_be_passed_over(max_rejected: float) -> None:
    table = {"text": ["a"], "label": ["ham"], "split": ["extra"]}
    with pytest.raises(DataError, match=r"1 × split not among .*'extra'.* set data\.split: null"):
        rows(table, split="split", max_rejected=max_rejected)


def test_dates_are_counted_as_one_reason() -> None:
    with pytest.raises(DataError, match=r"3 × unparsable date \(frame:1: 'x'; frame:2: 'y'; frame:3: 'z'\)"):
        rows({"text": list("abc"), "label": ["ham"] * 3, "at": list("xyz")}, time="at", max_rejected=0)


def test_missing_columns_are_named_all_at_once_with_the_nearest() -> None:
    with pytest.raises(DataError) as error:
        rows(
            {"txt": ["a"], "lable": ["ham"], "who": ["x"]},
            {"spam": Plain(column="label"), "who": Plain()},
            domain="user",
        )
    message = str(error.value)
    assert "no column 'text' (data.text); did you mean 'txt'" in message
    assert "no column 'user' (data.domain)" in message
    assert "no column 'label' (heads.spam.column); did you mean 'lable'?" in message
    assert message.endswith("Its columns: txt, lable, who.")
    assert "heads.who" not in message


def test_a_column_that_stands_twice_is_refused() -> None:
    table = pd.DataFrame([["a", "b", "ham"]], columns=["text", "text", "label"])
    with pytest.raises(DataError, match="two columns 'text'"):
        rows(table)


def test_a_task_may_not_be_named_as_another_column() -> None:
    with pytest.raises(RecipeError, match="no task can be named 'text'"):
        rows({"text": ["a"]}, {"text": Plain()})


@pytest.mark.parametrize("content", ["", "text,label\n"])
def test_an_empty_source_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=r"data \(kind 'csv'\) has no rows at .*a\.csv"):
        read(Csv(path=tmp_path / "a.csv"), SPAM, Quarantine())


@pytest.mark.parametrize("max_rejected", [0.5, 1])
def test_a_source_of_bad_rows_only_is_an_error(tmp_path: Path, max_rejected: float) -> None:
    (tmp_path / "a.jsonl").write_text("broken\n")
    with pytest.raises(DataError, match=r"1 × not JSON"):
        read(Jsonl(path=tmp_path / "a.jsonl", max_rejected=max_rejected), SPAM, Quarantine())
    with pytest.raises(DataError, match=r"1 × no text"):
        rows({"text": [""], "label": ["ham"]}, max_rejected=max_rejected)


# --- several sources --------------------------------------------------------------------------------------------------


def sources(**tables: dict[str, list[Any]]) -> dict[str, Source]:
    return {name: Frame(table=pd.DataFrame(table)) for name, table in tables.items()}


def test_sources_name_domains_and_may_lack_tasks_and_columns() -> None:
    data = {
        **sources(ann={"text": ["a"], "label": ["ham"]}, bob={"text": ["b"]}),
        "cy": Frame(
            table=pd.DataFrame({"text": ["c"], "label": ["spam"], "who": ["x"], "at": [0]}), domain="who", time="at"
        ),
    }
    found = read(data, SPAM, Quarantine())
    assert list(found["domain"]) == ["ann", "bob", "x"]
    assert list(found["spam"]) == ["ham", None, "spam"]
    assert list(found["time"]) == [None, None, 0.0]
    with pytest.raises(
        DataError, match=r"no source of data has a column 'lable' \(heads.spam.column\); did you mean 'label'\?"
    ):
        read(data, {"spam": Plain(column="lable")}, Quarantine())


def test_names_that_are_all_splits_are_the_splits() -> None:
    table = {"text": ["a"], "label": ["ham"]}
    found = read(sources(train=table, dev=table), SPAM, Quarantine())
    assert (list(found["split"]), list(found["domain"])) == (["train", "validation"], ["all", "all"])
    found = read(sources(train=table, shop=table), SPAM, Quarantine())
    assert (list(found["domain"]), "split" in found.column_names) == (["train", "shop"], False)


def test_ids_are_unique_across_sources() -> None:
    table = pd.DataFrame({"text": ["a"], "label": ["ham"], "key": ["k"]})
    data = {name: Frame(table=table, id="key", max_rejected=1) for name in ("ann", "bob")}
    with pytest.raises(DataError, match=r"data.bob: no row is left.*duplicate id"):
        read(data, SPAM, Quarantine())
    same = sources(ann={"text": ["a"], "label": ["ham"]}, bob={"text": ["a"], "label": ["ham"]})
    assert len(set(read(same, SPAM, Quarantine())["id"])) == 2


# --- ids and fingerprint ----------------------------------------------------------------------------------------------


def test_the_same_rows_have_the_same_ids_in_any_order_and_format(tmp_path: Path) -> None:
    table = pd.DataFrame({"text": ["a", "b", "a", "é"], "label": ["ham", "spam", "ham", None], "at": [5, 1, 3, 2]})
    table.to_csv(tmp_path / "a.csv", index=False)
    table[::-1].to_parquet(tmp_path / "a.parquet")
    table.sample(frac=1, random_state=1).to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    found = [
        read(kind(path=tmp_path / f"a.{kind.__name__.lower()}", time="at"), SPAM, Quarantine())
        for kind in (Csv, Parquet, Jsonl)
    ]
    ids = [dict(zip(one["time"], one["id"], strict=True)) for one in found]
    assert ids[0] == ids[1] == ids[2]
    assert ids[0][5.0] == f"{ids[0][3.0]}-2"
    assert len({fingerprint(one) for one in found}) == 1


def test_ids_do_not_depend_on_labels_but_on_domain_and_pair() -> None:
    def ids(**columns: list[Any]) -> list[str]:
        found, _ = rows({"text": ["a", "a"], "label": ["ham", "spam"], "who": ["x", "x"], "b": ["", ""]} | columns,
                        domain="who", text_pair="b")  # fmt: skip
        return list(found["id"])

    first = ids()
    assert len(first[0]) == 16
    assert first == ids(label=["spam", "ham"])
    assert first[0] != ids(who=["y", "y"])[0]
    assert first[0] != ids(b=["c", "c"])[0]
    assert ids(text=["a", "ab"], b=["bc", "c"])[0] != ids(text=["a", "ab"], b=["bc", "c"])[1]


def test_a_made_id_steps_aside_for_a_given_one() -> None:
    made = rows({"text": ["a"], "label": ["ham"]})[0]["id"][0]
    given = Frame(table=pd.DataFrame({"text": ["z"], "label": ["ham"], "key": [made]}), id="key", domain="label")
    plain = Frame(table=pd.DataFrame({"text": ["a"], "label": ["ham"], "all": ["all"]}), domain="all")
    assert list(read({"g": given, "p": plain}, SPAM, Quarantine())["id"]) == [made, f"{made}-2"]


def test_the_fingerprint_is_of_content() -> None:
    table = {"text": ["a", "b"], "label": ["ham", None]}
    base = fingerprint(rows(table)[0])
    assert base == fingerprint(rows(table)[0])
    assert base != fingerprint(rows({**table, "label": ["ham", "spam"]})[0])
    assert base != fingerprint(rows({**table, "text": ["a", "c"]})[0])
    assert base != fingerprint(rows(table, {"other": SPAM["spam"]})[0])


# --- whole kinds ------------------------------------------------------------------------------------------------------


def test_mailboxes_need_no_settings() -> None:
    found = read(Mailboxes(mails=30), SPAM, Quarantine())
    assert set(found["domain"]) == {"ada", "ben", "cleo", "dan", "eve"}
    assert all(isinstance(time, float) for time in found["time"])


def test_mail_with_a_broken_date_or_no_text(tmp_path: Path) -> None:
    stamp = "From a@b.c Fri Jan 31 12:00:00 2020\n"
    (tmp_path / "spam.mbox").write_text(f"{stamp}Date: soon\n\nbody\n\n{stamp}From: x\n\n\n")
    quarantine = Quarantine()
    found = read(Mbox(path=tmp_path / "{label}.mbox", max_rejected=0.5), SPAM, quarantine)
    assert found.remove_columns("id").to_list() == [{"text": "body", "spam": "spam", "domain": "all", "time": None}]
    assert [(one.line, one.reason) for one in quarantine.rejections] == [(6, "no text")]


def test_half_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"text": "ok", "label": "ham"}) + '\n{"text": "\\ud83d", "label": "ham"}\n'
    )
    quarantine = Quarantine()
    assert len(read(Jsonl(path=tmp_path / "a.jsonl", max_rejected=0.5), SPAM, quarantine)) == 1
    assert quarantine.rejections[0].reason.startswith("broken encoding")


def test_a_task_reads_its_own_source_only() -> None:
    """Both sources have a column ``label``, of unlike label sets."""
    first = Frame(table=pd.DataFrame({"text": ["a", "b"], "label": ["ham", "spam"]}))
    second = Frame(table=pd.DataFrame({"text": ["c", "d"], "label": ["good", "bad"]}))
    heads = {
        "spam": Plain(column="label", labels=("ham", "spam"), source="mail"),
        "mood": Plain(column="label", source="films"),
    }
    found = read({"mail": first, "films": second}, heads, Quarantine())
    assert list(found["spam"]) == ["ham", "spam", None, None]
    assert list(found["mood"]) == [None, None, "good", "bad"]
    with pytest.raises(DataError, match=r"data.mail: no column 'lable' \(heads.spam.column\); did you mean 'label'\?"):
        read({"mail": first, "films": second}, {"spam": Plain(column="lable", source="mail")}, Quarantine())


@pytest.mark.real
def test_enron_is_read_whole(shared_data: Path) -> None:
    quarantine = Quarantine()
    source = Parquet(path=shared_data / "enron_spam_4users.parquet", domain="user", time="date", id="file")
    found = read(source, SPAM, quarantine)
    assert len(found) + len(quarantine) == 22_540
    assert {one.reason for one in quarantine.rejections} <= {"no text"}
    assert len(set(found["domain"])) == 4
    assert None not in found["time"]


@pytest.mark.real
def test_official_splits_and_unlabelled_reviews(shared_data: Path) -> None:
    source = Parquet(path=shared_data / "reviews_10domains.parquet", domain="domain", split="split")
    found = read(source, {"polarity": Plain(column="label", labels=("negative", "positive"))}, Quarantine())
    assert set(found["split"]) == {"train", "test", "unlabelled"}
    assert all(
        label is None for label, split in zip(found["polarity"], found["split"], strict=True) if split == "unlabelled"
    )
