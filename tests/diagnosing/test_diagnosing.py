"""What a recipe's diagnosis reads, and how it is shown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.cli import main
from nlptl.diagnosing import diagnose
from nlptl.diagnosing.look import Look, one_of_each
from nlptl.diagnosing.rows import UNTOLD


@pytest.fixture(scope="module")
def settings(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Four people's mail; that of dee, whose name is <i>dee, is of other things."""
    table = mail(rows=60)
    table.loc[table["user"] == "dee", "text"] = [f"water oil part {n} down {n * n}" for n in range(60)]
    table["user"] = table["user"].replace("dee", "<i>dee")
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    table.to_parquet(path)
    return {
        "data": {"kind": "parquet", "path": str(path), "domain": "user"},
        "transfer": {
            "source": ["ann", "bob"],
            "target": ["<i>dee", "cy"],
            "target_labels": 0,
            "hold_out": 0.3,
            "near": 1.0,
        },
        "encoder": {"model": str(tiny_encoder), "max_length": 24},
        "heads": {"spam": {"kind": "linear", "column": "label"}},
    }


def test_every_target_is_told_of(settings: dict[str, Any]) -> None:
    found = nlptl.Recipe(**settings).diagnose()
    assert list(found) == ["<i>dee", "cy"]
    assert found["<i>dee"]["shift"]["found"] == ["covariate"] and found["cy"]["shift"]["found"] == []
    assert found["<i>dee"]["proxy_a"]["score"] > found["cy"]["proxy_a"]["score"]
    assert "cannot be known" in found["cy"]["shift"]["words"] and "skipped" in found["cy"]["otdd"]
    json.dumps(dict(found))
    assert "<td>&lt;i&gt;dee</td>" in found._repr_html_() and "<i>dee" not in found._repr_html_()
    assert "no sign of shift" in repr(found)
    assert found["cy"]["remedies"] == [] and found["<i>dee"]["remedies"][0]["paste"].startswith("tune: {kind: lora}")
    assert "adapt: [{kind: mcc}]" in found.notes() and "adapt: [{kind: mcc}]\n" in found._repr_html_()


def test_copies_of_one_text_are_one_row_for_the_tests(settings: dict[str, Any], tmp_path: Path) -> None:
    """Three of ann's mails stand there forty times, which makes cy's texts no others."""
    table = mail(rows=60)
    stream = [table[table["user"] == "ann"].iloc[:3].assign(text=lambda r: r["text"] + "!")] * 40
    pd.concat([table, *stream]).to_parquet(tmp_path / "mail.parquet")
    again = {"data": {**settings["data"], "path": str(tmp_path / "mail.parquet")},
             "transfer": {**settings["transfer"], "target": ["cy"]}}  # fmt: skip
    look = Look.at(nlptl.Recipe(**(settings | again)))
    [(turn, target)] = look.targets()
    view = look.view(turn, target)
    [groups, domain] = view.need("groups", "domain")
    single, sides = one_of_each(view), np.stack([groups, domain == target], axis=1)
    assert len(single.need("groups")[0]) == len(np.unique(sides, axis=0)) < len(groups) - 50
    assert nlptl.Recipe(**(settings | again)).diagnose()["cy"]["shift"]["found"] == []


def test_scored_rows_and_hidden_labels_are_not_looked_at(settings: dict[str, Any]) -> None:
    look = Look.at(nlptl.Recipe(**settings))
    [(turn, target), _] = look.targets()
    view = look.view(turn, target)
    [texts, labels, domain] = view.need("texts", "labels", "domain")
    scored = set(look.corpus.texts[turn.score])
    own = domain == target
    assert own.sum() > 10 and not scored & set(texts[own])
    assert (labels[own] == -1).all() and (labels[~own] >= 0).all()
    few = look.view(turn, target, most=10)
    assert np.sum(few.domain == target) == 10 and np.sum(few.domain != target) == 10


def test_the_command_prints_a_table_and_writes_json(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main(["diagnose", str(tmp_path / "recipe.yaml"), "-o", str(tmp_path / "found.json")])
    assert not end.value.code
    said = capsys.readouterr().out
    assert "no sign of" in said and "\ntune: {kind: lora}\nadapt: [{kind: mcc}]\n" in said
    assert list(json.loads((tmp_path / "found.json").read_text())) == ["<i>dee", "cy"]


@pytest.mark.parametrize(
    ("transfer", "words"),
    [
        ({"hold_out": 1.0}, "transductive: true"),
        ({"source": "cy", "target": "cy"}, "no labelled row of another domain"),
    ],
)
def test_what_cannot_be_looked_at_is_said(settings: dict[str, Any], transfer: dict[str, Any], words: str) -> None:
    changed = {**settings, "transfer": {**settings["transfer"], "target": "cy", "target_labels": 0, **transfer}}
    if transfer.get("source"):
        changed["transfer"]["target_labels"] = "all"
    with pytest.raises(nlptl.DataError, match=words):
        diagnose(nlptl.Recipe(**changed))


def test_several_labels_a_row_are_refused(settings: dict[str, Any]) -> None:
    many = {**settings, "heads": {"spam": {"kind": "linear", "column": "label", "multilabel": True}}}
    with pytest.raises(nlptl.RecipeError, match="one label each"):
        diagnose(nlptl.Recipe(**many))


def test_sources_are_ranked_without_a_label_of_the_target(settings: dict[str, Any]) -> None:
    from nlptl.diagnosing.rank import rank_sources

    changed = {**settings, "transfer": {**settings["transfer"], "source": ["ann", "bob", "<i>dee"], "target": "cy"}}
    table = pd.read_parquet(settings["data"]["path"])
    ranked = rank_sources(nlptl.Recipe(**changed))
    assert [row["source"] for row in ranked["cy"]][-1] == "<i>dee"  # whose texts say nothing of the label
    scores = [row["score"] for row in ranked["cy"]]
    assert scores == sorted(scores, reverse=True)
    table.loc[table["user"] == "cy", "label"] = "ham"
    hidden = {**changed, "data": {"kind": "frame", "table": table, "domain": "user"}}
    assert dict(rank_sources(nlptl.Recipe(**hidden))) == dict(ranked)


def test_words_that_mean_something_else_are_shown(tiny_encoder: Path) -> None:
    rng = np.random.default_rng(0)
    words = ("water", "oil", "time", "people", "day", "part", "number", "book", "long", "look")
    rows = []
    for user in ("ann", "<i>cy"):
        for n in range(240):
            label = ("ham", "spam")[n % 2]
            told = "free" if (label == "spam") == (user == "ann") else "meeting"
            rows.append({"text": " ".join([*rng.choice(words, 4), told, f"n{n}"]), "label": label, "user": user})
    recipe = nlptl.Recipe(
        data={"kind": "frame", "table": pd.DataFrame(rows), "domain": "user"},
        transfer={"source": "ann", "target": "<i>cy", "hold_out": 0.3, "near": 1.0},
        encoder={"model": str(tiny_encoder), "max_length": 24},
        heads={"spam": {"kind": "linear", "column": "label"}},
    )
    found = recipe.diagnose("senses")
    assert {row["word"] for row in found["<i>cy"]["flipped"]} == {"free", "meeting"}
    assert found["<i>cy"]["looked_at"]["moved"] >= len(words)
    json.dumps(dict(found))
    assert "&lt;i&gt;cy" in found._repr_html_() and "<i>cy" not in found._repr_html_()
    assert "2 words flipped" in repr(found)
    blind = recipe.model_copy(update={"transfer": recipe.transfer.model_copy(update={"target_labels": 0})})
    assert "cannot be known" in next(blind.diagnose("senses").cells())[2]


@pytest.fixture
def odd_rows(tiny_encoder: Path) -> nlptl.Recipe:
    """Mail in which two texts come twice, one of them with two labels, and some labels are turned."""
    table = mail(rows=60, people=("ann", "cy"))
    table.loc[:2, "label"] = table.loc[:2, "label"].map({"ham": "spam", "spam": "ham"})
    ann = table[table["user"] == "ann"]
    twice = pd.concat([ann.iloc[[10, 20]]]).assign(label=["ham", "spam"])
    twice.loc[twice.index[1], "label"] = ann.iloc[20]["label"]
    twice.loc[twice.index[0], "label"] = "spam" if ann.iloc[10]["label"] == "ham" else "ham"
    return nlptl.Recipe(
        data={"kind": "frame", "table": pd.concat([table, twice], ignore_index=True), "domain": "user"},
        transfer={"source": "ann", "target": "cy", "target_labels": 0, "hold_out": 0.5, "near": 1.0},
        encoder={"model": str(tiny_encoder), "max_length": 24},
        heads={"spam": {"kind": "linear", "column": "label"}},
    )


def test_rows_that_deserve_a_second_look(odd_rows: nlptl.Recipe) -> None:
    pytest.importorskip("cleanlab")
    found = odd_rows.diagnose("rows")
    assert found["copies"] == 2 and [len(group) for group in found["duplicates"]] == [2, 2]
    [[one, other]] = found["conflicts"]
    assert one["text"] == other["text"] and {one["label"], other["label"]} == {"ham", "spam"}
    assert all(row["label"] != row["suggested"] and row["domain"] == "ann" for row in found["noise"])
    assert found["rows"] == 60 + 2 + 30  # and none of the thirty that are scored
    strange = found["anomalies"]
    assert len(strange) == 30 and {row["domain"] for row in strange} == {"cy"} and strange[0]["label"] is None
    assert [row["knn"] for row in strange] == sorted((row["knn"] for row in strange), reverse=True)
    assert {"mahalanobis", "energy", "max_softmax"} <= set(strange[0])
    assert "unlike what teaches" in found._repr_html_()
    json.dumps(dict(found))
    assert "2 copies" in repr(found) and "one text, two labels" in found._repr_html_()


def test_rows_to_label_next_are_the_targets_own(
    odd_rows: nlptl.Recipe, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = odd_rows.suggest(8)
    look = Look.at(odd_rows)
    scored = set(look.corpus.ids[look.turns[0].score])
    assert len(table) == 8 and set(table["domain"]) == {"cy"} and not scored & set(table["id"])
    unsure = odd_rows.suggest(5, by="uncertainty")["margin"].to_list()
    assert unsure == sorted(unsure) and unsure[0] < 0.9

    import yaml

    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main(["suggest", str(tmp_path / "recipe.yaml"), "-n", "4", "-o", str(tmp_path / "next.csv")])
    assert not end.value.code and "margin" in capsys.readouterr().out
    assert list(pd.read_csv(tmp_path / "next.csv").columns) == ["id", "domain", "text", "answer", "margin"]
    assert len(pd.read_csv(tmp_path / "next.csv")) == 4
    with pytest.raises(SystemExit):
        main(["suggest", str(tmp_path / "recipe.yaml"), "-o", "next.xls"])
    assert ".csv, .jsonl, .parquet" in capsys.readouterr().err


def test_nothing_is_left_to_label(settings: dict[str, Any]) -> None:
    everything = {**settings, "transfer": {**settings["transfer"], "target_labels": "all"}}
    with pytest.raises(nlptl.DataError, match="none is left to label"):
        nlptl.Recipe(**everything).suggest()


@pytest.fixture
def unlabelled(settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """One person's mail without a label, one text of which comes twice and one of which is of another sort."""
    table = mail(rows=60, people=("ann",)).assign(label=None)
    table.loc[1, "text"], table.loc[7, "text"] = table.loc[0, "text"], "zzz qqq xxx jjj 777 zzz qqq"
    table.to_parquet(tmp_path / "mail.parquet")
    data = {"kind": "parquet", "path": str(tmp_path / "mail.parquet"), "domain": "user"}
    return {"data": data, **{name: settings[name] for name in ("encoder", "heads")}, "transfer": {"near": 1.0}}


def test_without_a_label_rows_are_compared_with_one_another(unlabelled: dict[str, Any]) -> None:
    found = nlptl.Recipe(**unlabelled).diagnose("rows")
    assert found["rows"] == 60 and found["copies"] == 1 and found["conflicts"] == []
    assert found["noise"] == {"skipped": UNTOLD}
    assert len(found["anomalies"]) == 60 and found["anomalies"][0]["text"].startswith("zzz")
    said = ["".join(cells) for cells in found.cells()]
    assert any("no two labels teach" in line for line in said) and any("unlike the other texts" in s for s in said)


def test_without_a_label_rows_to_label_are_spread(
    unlabelled: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    table = nlptl.Recipe(**unlabelled).suggest(6)
    assert len(table) == 6 and table["answer"].isna().all() and table["margin"].isna().all()
    assert "chosen by diversity" in caplog.text and "heads.spam.names" in caplog.text

    import yaml

    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(unlabelled), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main(["suggest", str(tmp_path / "recipe.yaml"), "-n", "3", "-o", str(tmp_path / "next.csv")])
    assert not end.value.code and "–" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "next.csv")) == 3


@pytest.mark.parametrize("head", [{"kind": "label_names"}, {"kind": "linear", "prior": "label_names"}], ids=str)
def test_without_a_label_what_labels_are_called_answers(
    unlabelled: dict[str, Any], head: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    names = {"ham": ["meeting report"], "spam": ["win free cash"]}
    table = nlptl.Recipe(**{**unlabelled, "heads": {"spam": {**head, "column": "label", "names": names}}}).suggest(
        6, by="uncertainty"
    )
    margins = table["margin"].to_list()
    assert margins == sorted(margins) and set(table["answer"]) <= {"ham", "spam"} and margins[0] < 0.5
    assert "rows are chosen by what its labels are called" in caplog.text


@pytest.mark.parametrize("labels", [[], ["ham"], ["ham", "news"]], ids=len)
def test_the_label_to_be_caught_need_not_be_that_of_any_row_yet(
    labels: list[str], unlabelled: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.read_parquet(unlabelled["data"]["path"])
    for place, label in enumerate(labels):
        table.loc[table.index[place * 10 : place * 10 + 10], "label"] = label
    table.to_parquet(unlabelled["data"]["path"])
    head = {"kind": "linear", "column": "label", "positive": "spam"}
    unlabelled["heads"] = {"spam": head}
    found = nlptl.Recipe(**unlabelled, evaluate={"metrics": ["accuracy"]}).suggest(6)
    assert len(found) == 6 and set(found["answer"].dropna()) <= set(labels)
    assert found["answer"].notna().all() == (len(labels) > 1)
    assert (
        f"no row is labelled 'spam' yet; what is labelled goes on without: {', '.join(labels) or 'nothing'}"
        in caplog.text
    )


def test_one_label_alone_teaches_no_head(unlabelled: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    table = pd.read_parquet(unlabelled["data"]["path"])
    table.loc[table.index[:20], "label"] = "ham"
    table.to_parquet(unlabelled["data"]["path"])
    assert len(nlptl.Recipe(**unlabelled).suggest(6)) == 6
    assert "chosen by diversity" in caplog.text
