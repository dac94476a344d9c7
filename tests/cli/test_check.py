"""``nlptl check``: what it finds in small data is what a run would meet there, in the same words."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.cli import outline as outlined
from nlptl.cli.outline import outline
from nlptl.cli.rows import aligned


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Four people's mail as a CSV file, in the working folder; two labels are absent, and one text stands twice."""
    monkeypatch.chdir(tmp_path)
    table = mail(rows=30)
    table.loc[table["user"] == "dee", "label"] = ["ham"] * 21 + ["spam"] * 7 + [""] * 2
    table.loc[1, "text"] = table.loc[0, "text"].upper() + "!"
    table["part"] = table["user"].map({"dee": "test"}).fillna("train")
    table.to_csv("mail.csv", index=False)
    return {
        "data": {"kind": "csv", "path": "mail.csv", "domain": "user"},
        "transfer": {"source": ["ann", "bob", "cy"], "target": ["dee"], "target_labels": 0, "hold_out": 0.5},
        "heads": {"spam": {"kind": "linear", "column": "label"}},
    }


def changed(settings: dict[str, Any], changes: dict[str, Any]) -> nlptl.Recipe:
    sections = {**settings, **{name: {**settings.get(name, {}), **c} if isinstance(c, dict) else c
                               for name, c in changes.items()}}  # fmt: skip
    return nlptl.Recipe(**sections)


def test_each_domain_is_told_of(settings: dict[str, Any]) -> None:
    said = list(outline(nlptl.Recipe(**settings)))
    assert "  rows: 120; 1 repeat the text of an earlier one" in said
    head, *rows = [line.split() for line in said if line.startswith("    ")]
    assert head == ["domain", "rows", "scored", "labelled", "spam"]
    assert [row[0] for row in rows] == ["ann", "bob", "cy", "dee"]
    assert rows[0][1:4] == ["30", "0", "30"]
    assert rows[3][1:] == ["30", "13", "28", "ham", "75%,", "spam", "25%"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, None),
        ({"transfer": {"choose": "auto"}}, "transfer.choose: auto"),
        ({"transfer": {"weigh": "nearest:2"}, "evaluate": {"seeds": 5}},
         "transfer.weigh: nearest:2, evaluate.seeds: 5"),
        ({"transfer": {"source": ["ann", "bob"], "through": ["cy"]}}, "transfer.through: [cy]"),
        (
            {"balance": {"kind": "pcgrad"}, "tune": {"kind": "lora"}, "heads": {"topic": {"kind": "linear"}}},
            "balance.kind: pcgrad",
        ),
        ({"balance": {"kind": "pcgrad"}, "tune": {"kind": "lora"}}, None),
        (
            {"evaluate": {"cold_start": {"shots": [0, 2]}}}, "evaluate.cold_start: {shots: [0, 2], seeds: 5}",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_a_run_longer_is_told_where_it_is_asked(
    settings: dict[str, Any], changes: dict[str, Any], line: str | None
) -> None:
    besides = [said for said in outline(changed(settings, changes)) if said.startswith("  besides: ")]
    assert besides == ([] if line is None else [f"  besides: {line}"])


UNTRAINED = f"since {outlined.UNTRAINED}"


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"train": {"lr": 0.1, "validation": 0.2, "epochs": 1}}, [f"train.lr, train.validation, {UNTRAINED}"]),
        ({"train": {"lr": 0.1}, "tune": {"kind": "lora"}}, []),
        ({"train": {"lr": 0.1}, "evaluate": {"scratch": True}}, []),
        ({"train": {"lr": 0.1}, "heads": {"spam": {"kind": "mlp", "column": "label"}}}, []),
        ({"evaluate": {"solo": True}, "tune": {"kind": "lora"}, "transfer": {"rehearsals": 1}},
         ["evaluate.solo, since there is one task",
          "transfer.rehearsals, since transfer.choose has no training to rehearse"]),
        ({"evaluate": {"solo": True}, "heads": {"topic": {"kind": "linear"}}}, [f"evaluate.solo, {UNTRAINED}"]),
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_nothing_reads_are_named(
    settings: dict[str, Any], changes: dict[str, Any], lines: list[str]
) -> None:
    said = [line for line in outline(changed(settings, changes)) if line.startswith("  not read: ")]
    assert said == [f"  not read: {line}" for line in lines]


def test_encoders_to_choose_from_are_named(settings: dict[str, Any]) -> None:
    said = list(outline(changed(settings, {"encoder": {"among": ["default", "runs/old"]}})))
    assert "  encoder: the best of default, runs/old, frozen" in said


def test_refused_rows_are_counted_with_reasons(settings: dict[str, Any]) -> None:
    table = pd.read_csv("mail.csv")
    table.loc[3, "text"] = ""
    table.to_csv("mail.csv", index=False)
    said = "\n".join(outline(nlptl.Recipe(**settings)))
    assert "  rows: 119;" in said and "  rejected: 1. Most frequent: 1 × no text (mail.csv:5)" in said


def test_several_tasks_and_several_labels_a_row(settings: dict[str, Any]) -> None:
    table = pd.read_csv("mail.csv")
    table["about"] = ["work,home", "home", "shop"] * 40
    table.to_csv("mail.csv", index=False)
    heads = {"topic": {"kind": "linear"}, "about": {"kind": "linear", "multilabel": True}}
    said = "\n".join(outline(changed(settings, {"heads": heads})))
    assert "home 33%, shop 33%, work 33%" in said and "home 67%, shop 33%, work 33%" in said


ALL = {"source": "*", "target": "*", "target_labels": "all"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transfer": {"target": ["dea"]}}, "no domain matches 'dea'; did you mean 'dee'?"),
        ({"transfer": {"source": ["x*"]}}, "no domain matches 'x*'"),
        ({"transfer": {"apart": [["ann"], ["bobb"]]}}, "no domain matches 'bobb'"),
        ({"data": {"domain": "usr"}}, "no column 'usr' (data.domain); did you mean 'user'?"),
        ({"heads": {"spam": {"kind": "linear", "column": "lable"}}}, "no column 'lable' (heads.spam.column)"),
        ({"heads": {"spma": {"kind": "linear"}}}, "no column 'spma' (heads.spma.column)"),
        ({"heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "span"]}}}, "label not among"),
        ({"heads": {"spam": {"kind": "linear", "column": "label", "positive": "span"}}}, "did you mean 'spam'?"),
        (
            {"heads": {"spam": {"kind": "linear", "column": "label", "prior": "label_names",
                                "names": {"ham": ["wanted"], "span": ["unwanted"]}}}},
            "heads.spam.names: 'span' is no label; did you mean 'spam'?",
        ),
        ({"evaluate": {"anomalies": {"label": "oos"}}}, "'oos' is the label of 0 rows"),
        ({"transfer": {**ALL, "weigh": "similarity"}}, "compares source domains that are no target"),
        (
            {"data": {"split": "part"}, "tune": {"kind": "lora"},
             "heads": {"spam": {"kind": "linear", "column": "label", "calibrate": {}}}},
            "no labelled row that was held back",
        ),
        ({"transfer": ALL, "adapt": [{"kind": "label_shift"}]}, "label_shift estimates the shares of one target"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_a_run_would_refuse_is_refused_in_its_words(
    settings: dict[str, Any], tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    if "heads" in changes:
        settings = {**settings, "heads": {}}
    recipe = changed(settings, changes)
    with pytest.raises(nlptl.NlptlError) as checked:
        list(outline(recipe))
    with pytest.raises(nlptl.NlptlError) as ran:
        nlptl.fit(recipe, out=tmp_path / "run")
    assert words in str(checked.value) and str(checked.value) == str(ran.value)
    assert type(checked.value) is type(ran.value)


def test_the_run_that_comes_first_is_checked_too(settings: dict[str, Any]) -> None:
    asked = {"transfer": {**settings["transfer"], "target": ["dea"]}, "tune": {"kind": "lora"}}
    first = {**settings, "name": "first", **asked}
    with pytest.raises(nlptl.RecipeError, match="no domain matches 'dea'"):
        list(outline(nlptl.Recipe(**settings, before=first, encoder={"model": "before"})))


def test_names_that_are_no_label_are_refused_without_data() -> None:
    with pytest.raises(nlptl.RecipeError, match=r"heads\.spam\.names: 'span' is no label; did you mean 'spam'\?"):
        nlptl.Recipe(
            data={"kind": "csv", "path": "absent.csv"},
            heads={"spam": {"kind": "label_names", "labels": ["ham", "spam"],
                            "names": {"ham": ["wanted"], "span": ["unwanted"]}}},
        )  # fmt: skip


def test_large_data_is_not_read_and_that_is_said(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlined, "QUICK", 100)
    said = "\n".join(outline(changed(settings, {"transfer": {"target": ["dea"]}})))
    assert "rows: not read here" in said and "domain  rows" not in said


def test_an_empty_file_is_read_and_refused(settings: dict[str, Any]) -> None:
    Path("mail.csv").write_text("", encoding="utf-8")
    with pytest.raises(nlptl.errors.DataError, match=r"mail\.csv"):
        list(outline(nlptl.Recipe(**settings)))


def test_what_is_on_a_hub_is_not_read(settings: dict[str, Any]) -> None:
    hub = nlptl.Recipe(**{**settings, "data": {"kind": "hub", "name": "somebody/mail", "domain": "user"}})
    assert "  rows: not read here; 'nlptl run' checks domains and labels" in list(outline(hub))


def test_columns_stand_under_one_another() -> None:
    assert list(aligned(iter([("domain", "rows"), ("ann", "1,200"), ("bob", "7"), ("and 3 more",)]))) == [
        "    domain  rows", "    ann     1,200", "    bob         7", "    and 3 more",
    ]  # fmt: skip
