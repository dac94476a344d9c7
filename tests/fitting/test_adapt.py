"""Adaptation from recipe to run: it reads the target's texts, never its labels, and says what it did."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    mail().to_parquet(path)
    return path


def recipe(model: Path, path: Path, *, adapt: list[Any], tune: str = "lora", head: str = "linear") -> nlptl.Recipe:
    """Four people's mail, the last of them unseen."""
    return nlptl.Recipe(
        data={"kind": "parquet", "path": str(path), "domain": "user"},
        transfer={"target": "dee", "target_labels": 0, "hold_out": 0.5},
        encoder={"model": str(model), "max_length": 24},
        tune={"kind": tune},
        heads={"spam": {"kind": head, "column": "label", "labels": ["ham", "spam"], "positive": "spam"}},
        adapt=adapt,
        train={"max_steps": 4, "checkpoint_steps": 2, "batch_rows": 16},
        evaluate={"bootstrap": 100},
    )


def answers(run: nlptl.Run) -> np.ndarray:
    table = pd.read_parquet(run.folder / "predictions.parquet").set_index("id").sort_index()
    return np.stack(list(table["model"]))


@pytest.mark.parametrize(("tune", "head"), [("lora", "linear"), ("frozen", "mlp")])
def test_terms_join_the_loss(tiny_encoder: Path, table: Path, tmp_path: Path, tune: str, head: str) -> None:
    adapt = [{"kind": "coral", "weight": 100.0}, {"kind": "mmd", "weight": 10.0}]
    plain = nlptl.fit(recipe(tiny_encoder, table, adapt=[], tune=tune, head=head), out=tmp_path / "plain")
    run = nlptl.fit(recipe(tiny_encoder, table, adapt=adapt, tune=tune, head=head), out=tmp_path / "run")
    entries = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(entries) == 4
    assert all({"adapt.coral", "adapt.mmd"} <= set(entry) for entry in entries)
    rung = "lora" if tune == "lora" else "mlp"
    assert run.results["domains"]["dee"]["shipped"] == f"{rung}+coral+mmd"
    assert np.abs(answers(run) - answers(plain)).max() > 1e-6
    served = nlptl.load(tmp_path / "run").predict(["win a prize"])
    pd.testing.assert_frame_equal(served, run.predict(["win a prize"]), atol=1e-6)
    cards = [(tmp_path / name / "model" / "README.md").read_text(encoding="utf-8") for name in ("run", "plain")]
    assert ["| dee | 0 | 20 |" in card for card in cards] == [True, False]


def test_a_target_without_texts_of_its_own_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    """A split column may hold unlabelled rows, so that only the data tells."""
    rows = mail()
    rows["split"] = np.where(rows.user == "dee", "test", "train")
    rows.to_parquet(tmp_path / "mail.parquet")
    made = recipe(tiny_encoder, tmp_path / "mail.parquet", adapt=[{"kind": "coral"}])
    made = made.model_copy(update={"data": made.data.model_copy(update={"split": "split"}),
                                   "transfer": made.transfer.model_copy(update={"hold_out": None})})  # fmt: skip
    with pytest.raises(nlptl.RecipeError, match=r"coral reads unlabelled texts of the target, and turn 'all' has none"):
        nlptl.fit(made, out=tmp_path / "run")


def test_label_shift_moves_a_solved_head_and_a_trained_one(tiny_encoder: Path, tmp_path: Path) -> None:
    """Half of dee's ham is gone: the shares that are found say so, and no target label was read."""
    rows = mail()
    gone = (rows.user == "dee") & (rows.label == "ham") & (rows.index % 5 != 0)
    rows[~gone].to_parquet(tmp_path / "mail.parquet")
    for tune in ("frozen", "lora"):
        made = recipe(
            tiny_encoder, tmp_path / "mail.parquet", adapt=[{"kind": "label_shift", "sure": False}], tune=tune
        )
        run = nlptl.fit(made, out=tmp_path / tune)
        [chosen] = run.results["chosen"]
        assert "label_shift (em): ham 0.590 → " in chosen["adapt"], chosen["adapt"]
        assert float(chosen["adapt"].split("spam ")[1].split(" → ")[1].split(";")[0]) > 0.55
        answers = pd.read_parquet(run.folder / "predictions.parquet")
        model, solved = (np.stack(list(answers[system]))[:, 1] for system in ("model", "solved"))
        assert (model > solved).mean() > (0.99 if tune == "frozen" else 0.5)
        served = nlptl.load(run.folder).predict(["the report is on monday"])
        pd.testing.assert_frame_equal(served, run.predict(["the report is on monday"]), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tune": {"kind": "lora"}, "train": {"class_weights": "balanced"}}, "train.class_weights gives heads.spam"),
        (
            {"tune": {"kind": "lora"},
             "adapt": [{"kind": "importance", "keep_shares": False}, {"kind": "label_shift"}]},
            "adapt: importance with keep_shares: false gives heads.spam",
        ),
        (
            {"heads": {"spam": {"kind": "linear", "column": "label", "per": "domain"}}},
            "heads.spam.per: domain adds to it",
        ),
    ],
)  # fmt: skip
def test_label_shift_moves_one_head_from_the_shares_that_taught_it(
    tiny_encoder: Path, table: Path, changes: dict[str, Any], said: str
) -> None:
    """A head whose rare label counted for more in training has other odds than its rows' shares say."""
    made = recipe(tiny_encoder, table, adapt=[{"kind": "label_shift"}], tune="frozen")
    with pytest.raises(nlptl.RecipeError) as refused:
        nlptl.Recipe(**(made.model_dump() | changes))
    assert said in str(refused.value)


def test_label_shift_serves_one_target_at_a_time(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    made = recipe(tiny_encoder, table, adapt=[{"kind": "label_shift"}], tune="frozen")
    two = made.model_copy(update={"transfer": made.transfer.model_copy(update={"target": ("cy", "dee")})})
    with pytest.raises(nlptl.RecipeError, match=r"shares of one target, and turn 'all' serves cy, dee together"):
        nlptl.fit(two, out=tmp_path / "run")


def test_importance_weighs_rows_and_says_how_many_are_left(tiny_encoder: Path, tmp_path: Path) -> None:
    """Half of dee's mail is about films, as a fifth of the others' is."""
    rows, table = mail(), tmp_path / "mail.parquet"
    films = rows.index % np.where(rows.user == "dee", 2, 5) == 0
    rows.loc[films, "text"] = "love the movie and the book " + rows.text[films]
    rows.to_parquet(table)
    plain = nlptl.fit(recipe(tiny_encoder, table, adapt=[], tune="frozen"), out=tmp_path / "plain")
    run = nlptl.fit(recipe(tiny_encoder, table, adapt=[{"kind": "importance"}], tune="frozen"), out=tmp_path / "run")
    [chosen] = run.results["chosen"]
    effective, of = (float(word) for word in chosen["adapt"].split() if word.isdigit())
    assert 1 < effective < of == 120
    assert np.abs(answers(run) - answers(plain)).max() > 1e-6


@pytest.mark.parametrize(
    ("kinds", "tune", "train"),
    [
        (["coral", "dann", "self_training"], "lora", {}),
        (["importance", "label_shift"], "frozen", {}),
        (["tapt"], "lora", {}),
        (["tapt"], "lora", {"select": "importance", "validation": 0.2}),
        *((["mcc"], "lora", {"select": by, "validation": 0.2}) for by in ("source", "importance", "snd", "entropy")),
    ],
)
def test_the_targets_labels_are_never_read(
    tiny_encoder: Path, tmp_path: Path, kinds: list[str], tune: str, train: dict[str, Any]
) -> None:
    """Shuffle all of the target's labels: every answer stays the same to the bit, and only the scores change; whatever
    adapts and whatever chooses the epoch."""
    found = []
    for name in ("as they are", "shuffled"):
        rows = mail()
        here = rows.user == "dee"
        if name == "shuffled":
            rows.loc[here, "label"] = rows.label[here].sample(frac=1, random_state=0).to_numpy()
        rows.to_parquet(tmp_path / f"{name}.parquet")
        made = recipe(tiny_encoder, tmp_path / f"{name}.parquet", adapt=[{"kind": kind} for kind in kinds], tune=tune)
        ids = made.data.model_copy(update={"id": "id"})
        pd.read_parquet(ids.path).assign(id=[str(place) for place in range(len(rows))]).to_parquet(ids.path)
        loop = made.train.model_copy(update=train)
        run = nlptl.fit(made.model_copy(update={"data": ids, "train": loop}), out=tmp_path / name)
        found.append((answers(run), run.results["overall"]["accuracy"]))
    assert np.array_equal(found[0][0], found[1][0])
    assert found[0][1] != found[1][1]


@pytest.mark.parametrize("select", ["source", "importance", "snd", "entropy"])
def test_the_epoch_is_chosen_by_the_criterion_that_is_named(
    tiny_encoder: Path, table: Path, tmp_path: Path, select: str
) -> None:
    made = recipe(tiny_encoder, table, adapt=[{"kind": "mcc"}], tune="frozen", head="mlp")
    train = {"select": select, "validation": 0.2, "epochs": 4, "max_steps": None, "batch_rows": 32, "lr": 0.3}
    run = nlptl.fit(made.model_copy(update={"train": made.train.model_copy(update=train)}), out=tmp_path / "run")
    assert run.results["chosen"][0]["epoch chosen by"] == select
    entries = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    judged = [entry for entry in entries if "validation_loss" in entry]
    assert len(judged) == 4
    if select in ("snd", "entropy"):
        assert len({entry[select] for entry in judged}) == 4


def test_a_criterion_without_rows_is_refused(tiny_encoder: Path, table: Path) -> None:
    made = recipe(tiny_encoder, table, adapt=[]).model_dump()
    with pytest.raises(nlptl.RecipeError, match=r"train\.select: importance weighs teaching rows that are held back"):
        nlptl.Recipe(**{**made, "train": {**made["train"], "select": "importance"}})
