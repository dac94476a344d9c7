"""Training once more on all rows: what the first training chose is kept, what it cost is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_mail import mail

import nlptl
from nlptl.fitting import augment as fitting_augment
from nlptl.fitting import climb as fitting_climb

TRAIN: dict[str, Any] = {"epochs": 4, "validation": 0.3, "batch_rows": 16, "lr": 3e-2, "checkpoint_steps": 2}
LORA: dict[str, Any] = {"tune": {"kind": "lora", "rank": 2}}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people's mail; a fifth of the labels are wrong, so that nobody can be sure."""
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    rows = mail(60, ("ann", "bob"))
    wrong = np.random.default_rng(1).random(len(rows)) < 0.2
    rows.loc[wrong, "label"] = np.where(rows.label[wrong] == "spam", "ham", "spam")
    rows.to_parquet(path)
    return path


def recipe(model: Path, path: Path, *, refit: bool = True, **sections: Any) -> nlptl.Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path), "domain": "user"},
        "encoder": {"model": str(model), "max_length": 24},
        "heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}},
        "evaluate": {"bootstrap": 100},
    }
    train = TRAIN | {"refit": refit} | sections.pop("train", {})
    return nlptl.Recipe(**settings | sections | {"train": train})


def answers(run: nlptl.Run, system: str = "model") -> np.ndarray:
    found = pd.read_parquet(run.folder / "predictions.parquet").sort_values("id")
    return np.stack(list(found[system]))


def logged(run: nlptl.Run, turn: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["turn"] == turn]


MULTITASK = {"spam": {"kind": "linear", "column": "label"}, "topic": {"kind": "linear"}}


@pytest.mark.parametrize(
    "sections",
    [
        LORA,
        {"heads": {"spam": {"kind": "mlp", "hidden": [8], "column": "label"}}, "train": {"average": "swa"}},
        LORA | {"train": {"r_drop": 1.0, "patience": 1}},
        {"tune": {"kind": "gradual"}, "train": {"lr": 1e-2, "mixout": 0.3, "l2_sp": 0.1}},
        {"tune": {"kind": "lora", "rank": 2, "per": "task"}, "heads": MULTITASK, "train": {"patience": 1}},
    ],
    ids=["lora", "mlp, swa", "r_drop", "gradual", "a lora each task"],
)
def test_it_is_the_training_of_all_rows_for_as_long_as_was_chosen(
    tiny_encoder: Path, table: Path, tmp_path: Path, sections: dict[str, Any]
) -> None:
    run = nlptl.fit(recipe(tiny_encoder, table, **sections), out=tmp_path / "run")
    first, again = logged(run, "all"), logged(run, "all refit")
    judged = {line["epoch"]: line["validation_loss"] for line in first if "validation_loss" in line}
    best = min(judged, key=lambda epoch: judged[epoch])
    [told] = run.results["cost"]["refit"]
    assert told["epochs"] == best == again[-1]["epoch"] and not any("validation_loss" in line for line in again)
    assert told["rows"] > told["rows"] - told["held back before"] > 0 and told["seconds"] > 0
    assert run.results["chosen"][0]["refit"] == {key: told[key] for key in told.keys() - {"turn", "seed"}}
    assert "trained once more, all" in (run.folder / "report.html").read_text()
    assert "all rows taught, once more" in (run.folder / "model" / "README.md").read_text()
    steps_an_epoch = sum(line["epoch"] == 1 for line in again)
    assert steps_an_epoch == -(-told["rows"] // 16) > sum(line["epoch"] == 1 for line in first)
    assert json.loads((run.folder / "results.json").read_text())["recipe"]["train"]["refit"] is True


def test_the_rows_that_chose_teach(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    """One epoch: nothing is to be cut off, and the refit is the training that holds no row back."""
    one: dict[str, Any] = {"epochs": 1}
    run = nlptl.fit(recipe(tiny_encoder, table, **LORA, train=one), out=tmp_path / "run")
    plain = recipe(tiny_encoder, table, **LORA, refit=False, train=one | {"validation": 0.0})
    all_rows = nlptl.fit(plain, out=tmp_path / "all")
    for system in ("model", "solved"):
        np.testing.assert_array_equal(answers(run, system), answers(all_rows, system))
    fewer = nlptl.fit(recipe(tiny_encoder, table, **LORA, refit=False, train=one), out=tmp_path / "fewer")
    for system in ("model", "solved"):
        assert np.abs(answers(run, system) - answers(fewer, system)).max() > 1e-3
    assert "refit" not in fewer.results["chosen"][0] and not fewer.results["cost"]["refit"]


@pytest.mark.parametrize("head", [{"kind": "linear"}, {"kind": "mlp", "hidden": [8]}], ids=["lora", "mlp"])
def test_calibration_is_that_of_the_model_that_the_rows_did_not_teach(
    tiny_encoder: Path, table: Path, tmp_path: Path, head: dict[str, Any]
) -> None:
    heads = {"spam": head | {"column": "label", "labels": ["ham", "spam"], "positive": "spam", "calibrate": {}}}
    tune = LORA if head["kind"] == "linear" else {}
    runs = [
        nlptl.fit(recipe(tiny_encoder, table, heads=heads, **tune, refit=refit), out=tmp_path / str(refit))
        for refit in (False, True)
    ]
    before, after = (run.model().calibrations["spam"] for run in runs)
    assert after.temperature == before.temperature != 1
    assert after.fitted_on == before.fitted_on.replace("held back", "held back from the training before the refit")
    assert np.abs(answers(runs[0]) - answers(runs[1])).max() > 1e-3
    assert nlptl.load(runs[1].folder).calibrations["spam"] == after


@pytest.mark.parametrize("won", [False, True])
def test_the_rung_is_chosen_before(
    tiny_encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, won: bool
) -> None:
    """Where the solved head has won, it is solved by all rows, as if nothing had been tried; LoRA is trained by all."""
    asked: list[int] = []

    def wins(dear: np.ndarray, cheap: np.ndarray) -> bool:
        asked.append(len(dear))
        return won

    monkeypatch.setattr(fitting_climb, "wins", wins)
    made = recipe(tiny_encoder, table, tune={"kind": "auto", "rungs": ["lora"]}, train={"epochs": 1})
    run = nlptl.fit(made, out=tmp_path / "run")
    [told] = run.results["cost"]["refit"]
    assert asked == [told["held back before"]]
    assert [rung["won"] for rung in run.results["chosen"][0]["climbed"]] == [True, won]
    tune = {"kind": "lora" if won else "frozen"}
    plain = recipe(tiny_encoder, table, tune=tune, refit=False, train={"epochs": 1, "validation": 0.0})
    np.testing.assert_array_equal(answers(run), answers(nlptl.fit(plain, out=tmp_path / "plain")))


def test_contrasts_that_won_a_climb_are_not_asked_again(
    tiny_encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting_climb, "wins", lambda dear, cheap: True)
    tune = {"kind": "auto", "rungs": ["contrastive"]}
    run = nlptl.fit(recipe(tiny_encoder, table, tune=tune), out=tmp_path / "run")
    assert {cell["shipped"] for cell in run.results["domains"].values()} == {"contrastive"}
    assert np.abs(answers(run) - answers(run, "solved")).max() > 1e-3
    assert run.results["cost"]["refit"][0]["epochs"] is None


@pytest.mark.parametrize("kept", [True, False])
def test_augmentation_is_kept_or_not_before(
    tiny_encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr(fitting_augment, "wins", lambda dear, cheap: kept)
    made = recipe(tiny_encoder, table, **LORA, augment=[{"kind": "eda", "views_a_row": 2}], train={"epochs": 1})
    run = nlptl.fit(made, out=tmp_path / "run")
    [augmented], [told] = run.results["chosen"][0]["augmented"], run.results["cost"]["refit"]
    rows = augmented["rows that chose"]
    assert (told["held back before"], augmented["kept"]) == (rows, kept)
    plain = recipe(tiny_encoder, table, **LORA, refit=False, train={"epochs": 1, "validation": 0.0})
    assert (told["rows"] > 120 - len(answers(run))) is kept
    same = np.array_equal(answers(run), answers(nlptl.fit(plain, out=tmp_path / "plain")))
    assert same is not kept


def test_a_run_broken_off_in_the_second_training_resumes_to_the_same_answers(
    tiny_encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(tiny_encoder, table, **LORA, train={"epochs": 2})
    whole = nlptl.fit(made, out=tmp_path / "whole")
    log, seen = nlptl.fitting.RunFolder.log, []

    def broken(self: Any, entry: dict[str, Any]) -> None:
        log(self, entry)
        seen.append(entry["turn"])
        if seen.count("all refit") == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(nlptl.fitting.RunFolder, "log", broken)
        with pytest.raises(KeyboardInterrupt):
            nlptl.fit(made, out=tmp_path / "run")
    resumed = nlptl.fit(made, out=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(answers(whole), answers(resumed))
    assert (whole.folder / "metrics.jsonl").read_text() == (resumed.folder / "metrics.jsonl").read_text()


def test_what_rehearses_is_trained_twice_too(tiny_encoder: Path, tmp_path: Path) -> None:
    mail(20, ("ann", "bob", "cy")).to_parquet(tmp_path / "mail.parquet")
    transfer = {"choose": "auto", "source": ["ann", "bob"], "target": ["cy"], "target_labels": 0, "rehearsals": 1}
    made = recipe(tiny_encoder, tmp_path / "mail.parquet", **LORA, transfer=transfer, train={"epochs": 1})
    run = nlptl.fit(made, out=tmp_path / "run")
    names = [told["turn"] for told in run.results["cost"]["refit"]]
    assert "all rehearsed 1" in names and set(names) <= {"all rehearsed 1", "all"}


def test_official_validation_rows_do_not_teach(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = mail(20, ("ann",))
    rows["split"] = np.resize(["train", "train", "validation", "test"], len(rows))
    rows.to_parquet(tmp_path / "mail.parquet")
    data = {"kind": "parquet", "path": str(tmp_path / "mail.parquet"), "split": "split"}
    with pytest.raises(nlptl.RecipeError, match=r"train.refit teaches with the rows that chose, .* 5 official"):
        nlptl.fit(recipe(tiny_encoder, tmp_path / "mail.parquet", **LORA, data=data), out=tmp_path / "run")
