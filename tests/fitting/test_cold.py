"""The curve of labels: nested draws, every system on the same rows, and nothing else changed by it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.contracts import Quarantine
from nlptl.data._read import read
from nlptl.fitting.cold import _ranks, curves, draws
from nlptl.fitting.corpus import Corpus
from nlptl.recipe import Recipe
from nlptl.transfer.plan import plan

BASELINES = {"majority", "tfidf", "probe"}


def recipe(model: Path, path: Path, **sections: Any) -> Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path), "domain": "user"},
        "transfer": {"target": ["ann"], "target_labels": 0},
        "encoder": {"model": str(model), "max_length": 24, "pool": "last"},
        "heads": {"spam": {"kind": "linear", "column": "label", "prior": "label_names", "names":
                           {"ham": ["the report"], "spam": ["free cash"]}}},
        "evaluate": {"bootstrap": 100, "cold_start": {"shots": [0, 1, 4, 500], "seeds": 2}},
    }  # fmt: skip
    return Recipe(**{name: {**settings.get(name, {}), **sections.get(name, {})} for name in settings | sections})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    mail(people=("ann", "bob", "cid", "dan")).to_parquet(path)
    return path


def test_every_system_has_its_place_on_the_curve(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    run = nlptl.fit(recipe(tiny_encoder, table), out=tmp_path)
    curve = run.results["curves"]["spam"]["ann"]
    assert curve["n"] == run.results["domains"]["ann"]["n"] and curve["draws"] == 2
    zero, one, four = curve["points"]  # no class has 500 rows
    free = {"cosine", "label_names", "sources"}
    taught = {"labels", "names+labels", "sources+labels", "prototype", "knn"} | BASELINES
    assert [point["shots"] for point in curve["points"]] == [0, 1, 4]
    assert [point["labels"] for point in curve["points"]] == [0, 2, 8]
    assert set(zero["systems"]) == free
    assert set(one["systems"]) == set(four["systems"]) == free | taught
    assert all(one["systems"][name]["accuracy"] == zero["systems"][name]["accuracy"] for name in free)
    for point in curve["points"]:
        for cell in point["systems"].values():
            low, high = cell["ci95"]
            assert 0 <= low <= cell["accuracy"] <= high <= 1
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "With few labels: spam: ann" in page and "sources+labels" in page


def test_the_curve_changes_nothing_else_and_is_the_same_again(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    curved = nlptl.fit(recipe(tiny_encoder, table), out=tmp_path / "curve").results
    again = nlptl.fit(recipe(tiny_encoder, table), out=tmp_path / "again").results
    plain = nlptl.fit(recipe(tiny_encoder, table, evaluate={"cold_start": None}), out=tmp_path / "plain").results
    assert plain["curves"] is None
    assert curved["curves"] == again["curves"]
    assert curved["tasks"] == plain["tasks"]


def test_draws_are_nested_and_none_is_scored(tiny_encoder: Path, table: Path) -> None:
    made = recipe(tiny_encoder, table)
    corpus = Corpus.of(read(made.data, made.heads, Quarantine()), made.heads)
    [turn] = plan(corpus.dataset, made.transfer, corpus.tasks, sample=None, seed=0)
    [drawn] = draws(made, corpus, [(0, turn, np.arange(len(turn.teach)))])
    for draw in range(2):
        small, large = drawn.of(draw, 2), drawn.of(draw, 5)
        assert np.bincount(corpus.encoded["spam"][large]).tolist() == [5, 5]
        assert set(small) < set(large)
        assert not np.isin(large, turn.score).any()
        assert set(corpus.domains[large]) == {"ann"}
    assert set(drawn.of(0, 5)) != set(drawn.of(1, 5))


def test_ranks_count_within_each_class() -> None:
    ranks = _ranks(np.array([1, 0, 1, 0, 1]), np.array([5, 4, 3, 2, 9]))
    assert ranks.tolist() == [1, 1, 0, 0, 2]


def test_contrasts_are_drawn_where_the_recipe_asks_for_them(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    made = recipe(
        tiny_encoder, table, transfer={"target_labels": 4}, tune={"kind": "contrastive", "steps": 1, "rows": 8},
        evaluate={"cold_start": {"shots": [4], "seeds": 1}},
    )  # fmt: skip
    [point] = nlptl.fit(made, out=tmp_path).results["curves"]["spam"]["ann"]["points"]
    assert "contrastive" in point["systems"]


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"evaluate": {"cold_start": {"shots": [4, 1]}}}, "evaluate.cold_start.shots: are not in ascending order"),
        ({"transfer": {"hold_out": 1.0}}, "evaluate.cold_start: draws labels of a target's unscored rows"),
        (
            {
                "heads": {
                    "spam": {"kind": "linear", "column": "label", "prior": None, "names": None, "multilabel": True}
                }
            },
            "evaluate.cold_start: draws labels class by class",
        ),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused(
    tiny_encoder: Path, table: Path, sections: dict[str, Any], problem: str
) -> None:
    with pytest.raises(nlptl.RecipeError) as refused:
        recipe(tiny_encoder, table, **sections)
    assert problem in str(refused.value)


def test_no_curve_is_asked_for_by_default(tiny_encoder: Path, table: Path) -> None:
    made = recipe(tiny_encoder, table, evaluate={"cold_start": None})
    assert list(draws(made, None, [])) == []  # type: ignore[arg-type]
    assert made.evaluate.cold_start is None and callable(curves)


def test_a_head_that_was_taken_is_no_name(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    """A run that goes on from an earlier one's head, whose labels are called nothing, has no curve of names."""
    plain = {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "prior": None, "names": None}}
    nlptl.fit(recipe(tiny_encoder, table, heads=plain, evaluate={"cold_start": None}), out=tmp_path / "first")
    taken = {"model": str(tmp_path / "first"), "take": ["body", "heads"]}
    run = nlptl.fit(recipe(tiny_encoder, table, heads=plain, encoder=taken), out=tmp_path / "run")
    systems = [set(point["systems"]) for point in run.results["curves"]["spam"]["ann"]["points"]]
    assert systems[0] == {"sources"} and not any({"label_names", "names+labels"} & found for found in systems)


def few(unscored: pd.DataFrame, folder: Path, people: tuple[str, ...] = ("ann", "bob", "cid", "dan")) -> Path:
    """A table in which ``unscored`` are the rows of ann that are not scored, by an official split."""
    rows = mail(people=people).assign(split="train")
    rows.loc[rows.user == "ann", "split"] = "test"
    pd.concat([rows, unscored.assign(user="ann", split="train")]).to_parquet(folder / "mail.parquet")
    return folder / "mail.parquet"


SPLIT: dict[str, Any] = {"data": {"split": "split"}, "evaluate": {"cold_start": {"shots": [0, 1], "seeds": 4}}}


def test_labels_that_are_all_alike_teach_no_point_and_end_no_run(
    tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ham = pd.DataFrame({"text": ["the report is here", "gas for the company"], "label": "ham"})
    run = nlptl.fit(recipe(tiny_encoder, few(ham, tmp_path), **SPLIT), out=tmp_path / "run")
    [point] = run.results["curves"]["spam"]["ann"]["points"]
    assert point["shots"] == 0 and "sources" in point["systems"]
    assert "target 'ann': 4 draws of labels show one label or text alone" in caplog.text


def test_a_draw_of_one_text_is_passed_over(
    tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of two hams has the text of the one spam."""
    texts = ["win a prize now", "win a prize now", "gas for all"]
    rows = pd.DataFrame({"text": texts, "label": ["spam", "ham", "ham"]})
    run = nlptl.fit(recipe(tiny_encoder, few(rows, tmp_path), **SPLIT), out=tmp_path / "run")
    _, one = run.results["curves"]["spam"]["ann"]["points"]
    assert one["shots"] == 1 and 0 < one["systems"]["labels"]["accuracy"] < 1
    assert re.search("target 'ann': [123] draws of labels", caplog.text)


def test_a_point_that_nothing_answers_is_left_out(tiny_encoder: Path, tmp_path: Path) -> None:
    """Nobody else teaches, and labels are called nothing: without labels there is no system."""
    plain = {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "prior": None, "names": None}}
    rows = few(mail(people=("ann",), seed=1)[["text", "label"]], tmp_path, people=("ann",))
    made = recipe(tiny_encoder, rows, **SPLIT, heads=plain, transfer={"target_labels": "all"})
    run = nlptl.fit(made, out=tmp_path / "run")
    assert [point["shots"] for point in run.results["curves"]["spam"]["ann"]["points"]] == [1]
