"""Augmentation in a run: of whom views are made, where they stand, and that they are kept only where they win."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.augment import Eda
from nlptl.contracts import Quarantine
from nlptl.data._read import read
from nlptl.fitting import augment as fitting_augment
from nlptl.fitting.augment import with_views
from nlptl.fitting.corpus import Corpus
from nlptl.recipe import Transfer
from nlptl.transfer.plan import plan


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    mail(people=("ann", "bob")).to_parquet(path)
    return path


def recipe(model: Path, path: Path, **sections: Any) -> nlptl.Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path), "domain": "user"},
        "encoder": {"model": str(model), "max_length": 24, "lexical": "tfidf"},
        "heads": {"spam": {"kind": "linear", "column": "label", "positive": "spam"}},
        "augment": [{"kind": "eda", "views_a_row": 2}],
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**settings | sections)


def answers(run: nlptl.Run) -> pd.DataFrame:
    return pd.read_parquet(run.folder / "predictions.parquet")


def test_views_are_of_rows_that_teach_alone(table: Path, tiny_encoder: Path) -> None:
    made = recipe(tiny_encoder, table)
    corpus = Corpus.of(read(made.data, made.heads, Quarantine()), made.heads)
    [turn] = plan(corpus.dataset, Transfer(), corpus.tasks, sample=None, seed=0)
    wide = with_views(made, corpus, [turn])
    known = len(corpus.texts)
    assert len(wide.origins) == len(wide.texts) - known > len(turn.teach)
    assert set(wide.origins) <= set(turn.teach) and not set(wide.origins) & set(turn.score)
    for row, text, domain in zip(wide.origins, wide.texts[known:], wide.domains[known:], strict=True):
        assert text != corpus.texts[row] and domain == corpus.domains[row]
    assert np.array_equal(wide.encoded["spam"][known:], corpus.encoded["spam"][wide.origins])
    assert np.array_equal(wide.texts[:known], corpus.texts)
    again = with_views(made, corpus, [turn])
    assert list(again.texts) == list(wide.texts)
    fewer = with_views(
        made, corpus, [plan(corpus.dataset, Transfer(hold_out=0.5), corpus.tasks, sample=None, seed=0)[0]]
    )
    of = {row: [t for r, t in zip(wide.origins, wide.texts[known:], strict=True) if r == row] for row in fewer.origins}
    same = [row for row in set(fewer.origins) & set(wide.origins)]
    for row in same:  # a row's views do not depend on the rows beside it
        assert [t for r, t in zip(fewer.origins, fewer.texts[known:], strict=True) if r == row] == of[row]


@pytest.mark.parametrize("kept", [True, False])
def test_what_does_not_win_leaves_no_trace(
    tiny_encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr(fitting_augment, "wins", lambda dear, cheap: kept)
    run = nlptl.fit(recipe(tiny_encoder, table), out=tmp_path / "run")
    [told] = run.results["chosen"][0]["augmented"]
    assert told["kept"] is kept and told["augment"] == "eda" and told["rows added"] > told["rows that chose"] > 0
    assert told["loss with"] != told["loss without"]
    assert {cell["shipped"] for cell in run.results["domains"].values()} == {"solved+eda" if kept else "solved"}
    plain = nlptl.fit(recipe(tiny_encoder, table, augment=[]), out=tmp_path / "plain")
    ours, theirs = answers(run), answers(plain)
    assert list(ours["id"]) == list(theirs["id"])  # no view is scored
    same = [np.array_equal(a, b) for a, b in zip(ours["model"], theirs["model"], strict=True)]
    assert all(same) is not kept
    assert run.results["tasks"]["spam"]["baselines"] == plain.results["tasks"]["spam"]["baselines"]


@pytest.mark.parametrize("way", [{"kind": "mixup"}, {"kind": "cutoff", "of": "feature"}, {"kind": "eda"}])
def test_trained_models_choose_on_rows_held_back(
    tiny_encoder: Path, table: Path, tmp_path: Path, way: dict[str, Any]
) -> None:
    train = {"validation": 0.3, "max_steps": 3, "batch_tokens": 256, "mixout": 0.0, "average": "ema"}
    made = recipe(tiny_encoder, table, augment=[way], tune={"kind": "lora"}, train=train)
    run = nlptl.fit(made, out=tmp_path / "run")
    [told] = run.results["chosen"][0]["augmented"]
    rows = mail(people=("ann", "bob"))
    assert 0 < told["rows that chose"] < 0.3 * len(rows)
    assert (told["rows added"] > 0) is (way["kind"] == "eda")
    shipped = {cell["shipped"] for cell in run.results["domains"].values()}
    assert shipped == {f"lora+{way['kind']}" if told["kept"] else "lora"}


def test_mixup_and_batch_norm_in_a_head_that_is_trained_and_saved(
    tiny_encoder: Path, table: Path, tmp_path: Path
) -> None:
    made = recipe(
        tiny_encoder, table, augment=[{"kind": "mixup"}], train={"validation": 0.3, "epochs": 3, "batch_rows": 8},
        heads={"spam": {"kind": "mlp", "hidden": [8], "batch_norm": True, "column": "label"}},
        encoder={"model": str(tiny_encoder), "max_length": 24},
    )  # fmt: skip
    run = nlptl.fit(made, out=tmp_path / "run")
    texts = ["you can win a free cash prize", "the report for monday", "x"]
    again = nlptl.load(tmp_path / "run")
    pd.testing.assert_frame_equal(again.predict(texts), run.predict(texts), atol=1e-6)
    norm = again.network.heads["spam"].net[1]
    assert norm.running_mean.abs().max() > 0 and norm.running_var.min() > 0


def test_views_of_a_pair_change_both_texts(tiny_encoder: Path) -> None:
    rows = mail(20, ("ann",)).assign(other="a good film about the war and a happy child")
    source = nlptl.data.Frame(table=rows, text_pair="other")
    heads = {"spam": nlptl.heads.Linear(column="label")}
    corpus = Corpus.of(read(source, heads, Quarantine()), heads)
    made = nlptl.Recipe(data=source, heads=heads, augment=[Eda(views_a_row=2)])
    wide = with_views(made, corpus, plan(corpus.dataset, Transfer(), corpus.tasks, sample=None, seed=0))
    assert wide.pairs is not None and len(wide.pairs) == len(wide.texts) > len(corpus.texts)
    assert all(pair != rows.other[0] for pair in wide.pairs[len(corpus.texts) :])
