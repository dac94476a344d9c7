"""Chains: one recipe file runs what comes first, then goes on from it; what is there already is not run again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate import Accelerator
from made_mail import mail
from safetensors.torch import load_file, save_file

import nlptl
from nlptl.fitting.chain import Stage, after_before, run_before


@pytest.fixture
def settings(tiny_encoder: Path, tmp_path: Path) -> dict[str, Any]:
    """Train on the mails' topics, then on spam."""
    mail(rows=30).to_parquet(tmp_path / "mail.parquet")
    first = {
        "name": "topics",
        "data": {"kind": "parquet", "path": str(tmp_path / "mail.parquet")},
        "encoder": {"model": str(tiny_encoder), "max_length": 24, "pool": "last"},
        "tune": {"kind": "lora", "rank": 2},
        "heads": {"topic": {"kind": "linear"}},
        "train": {"max_steps": 2},
        "evaluate": {"bootstrap": 100},
    }
    second = {"name": "spam", "before": first, "heads": {"spam": {"kind": "linear", "column": "label"}}}
    return first | second | {"encoder": first["encoder"] | {"model": "before"}}


def test_one_recipe_runs_both_and_the_first_only_once(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    recipe = nlptl.Recipe.load(tmp_path / "chain.yaml")
    nlptl.fit(recipe, out=tmp_path / "runs" / "spam")
    first, second = tmp_path / "runs" / "topics", tmp_path / "runs" / "spam"
    [parent] = json.loads((second / "lock.json").read_text())["parents"]
    assert (parent["recipe"], parent["path"]) == ("topics", str(first))
    assert nlptl.Recipe.load(second / "recipe.yaml") == recipe
    wanted, made = (
        json.loads((second / "results.json").read_text())["tasks"],
        (first / "report.html").stat().st_mtime_ns,
    )

    nlptl.fit(recipe, out=second, resume=True)
    assert (first / "report.html").stat().st_mtime_ns == made
    assert json.loads((second / "results.json").read_text())["tasks"] == wanted

    (first / "report.html").unlink()  # as if it had been stopped
    nlptl.fit(nlptl.Recipe.load(tmp_path / "chain.yaml", "before.train.lr=1e-4", "before.seed=1", "seed=1"), out=second)
    assert yaml.safe_load((first / "recipe.yaml").read_text())["train"]["lr"] == 1e-4


def test_what_taught_the_first_run_is_not_scored_in_the_second(
    settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another seed holds out other rows, most of which taught; so does a third stage, of what taught the first."""
    nlptl.fit(nlptl.Recipe(**settings), out=tmp_path / "runs" / "spam")  # the same rows, seed and hold-out
    alone = settings | {"before": None, "encoder": settings["encoder"] | {"model": str(tmp_path / "runs" / "spam")}}
    for changed in ({"seed": 1}, {"evaluate": {"bootstrap": 100, "seeds": 2}}):
        with pytest.raises(nlptl.DataError, match=r"scored rows taught the run .*runs/spam.*hold out the same rows"):
            nlptl.fit(nlptl.Recipe(**alone | changed), out=tmp_path / "runs" / "third")
    kept = alone | {"seed": 1, "transfer": {"leaks": "keep"}}
    run = nlptl.fit(nlptl.Recipe(**kept), out=tmp_path / "runs" / "third")
    assert 0 < run.results["leaks"]["earlier"] <= run.results["tasks"]["spam"]["domains"]["all"]["n"]
    assert "scores say too much" in caplog.text
    (tmp_path / "runs" / "spam" / "model" / "taught.safetensors").unlink()
    nlptl.fit(nlptl.Recipe(**alone | {"seed": 1}), out=tmp_path / "runs" / "third")
    assert "whether any of them is scored now cannot be known" in caplog.text


def test_a_change_below_the_first_stage_is_seen(
    settings: dict[str, Any], tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Three stages, each on data of its own: what the last goes on from is stale when anything below it changes."""
    monkeypatch.chdir(tmp_path)
    encoder, data = shutil.copytree(tiny_encoder, tmp_path / "encoder"), tmp_path / "lowest.parquet"
    mail(rows=20, seed=1).to_parquet(data)
    topics = settings["before"]
    lowest = topics | {"name": "lowest", "data": {"kind": "parquet", "path": str(data)}, "train": {"max_steps": 1}}
    lowest["encoder"] = topics["encoder"] | {"model": str(encoder)}
    recipe = nlptl.Recipe(**settings | {"before": topics | {"before": lowest, "encoder": settings["encoder"]}})
    assert recipe.before is not None
    with pytest.raises(nlptl.RecipeError, match="holds no whole run of 'topics'"):
        after_before(recipe)
    nlptl.fit(recipe.before, out=tmp_path / "runs" / "topics")
    assert Path(after_before(recipe).encoder.model) == Path("runs/topics")
    shutil.rmtree(tmp_path / "runs" / "lowest")
    assert Stage.of(recipe, Path("runs/spam")).whole  # which needs the lowest no more

    mail(rows=20, seed=2).to_parquet(data)
    with pytest.raises(nlptl.RecipeError, match=r"topics is out of date .the data of 'lowest' have changed since"):
        after_before(recipe)
    mail(rows=20, seed=1).to_parquet(data)
    assert Stage.of(recipe, Path("runs/spam")).whole

    weights = load_file(encoder / "model.safetensors")
    save_file(
        {name: tensor + 1e-3 for name, tensor in weights.items()}, encoder / "model.safetensors", {"format": "pt"}
    )
    asked: list[Any] = []
    run_before(
        recipe, Path("runs/spam"), resume=True, accelerator=Accelerator(),
        fit=lambda of, out, resume: asked.append((of.name, out, resume)),
    )  # fmt: skip
    assert asked == [("topics", Path("runs/topics"), False)]
    assert "made again, and what goes on from it: the encoder that 'lowest' began from has changed" in caplog.text

    changed = settings | {"before": topics | {"before": lowest | {"seed": 1}, "encoder": settings["encoder"]}}
    assert Stage.of(nlptl.Recipe(**changed), Path("runs/spam")).changed == "its recipe differs in before.seed"


TWO = {"topic": {"kind": "linear"}, "spam": {"kind": "linear", "column": "label"}}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"encoder": {"model": "default"}}, "encoder.model: 'default' is read, so that 'topics' would run"),
        ({"before": None}, "encoder.model: before is the run of section before, and there is none"),
        ({"name": "topics"}, "before.name: 'topics' is the name of two runs"),
        ({"before": {"transfer": {"protocol": "leave_one_out"}}}, "before.transfer.protocol: leave_one_out makes"),
        ({"before": {"transfer": {"choose": "auto"}}}, "before.transfer.choose: auto leaves a model for each target"),
        (
            {"before": {"encoder": {"model": "default"}, "tune": {"kind": "frozen"}}},
            "before.tune.kind: frozen lets nothing in the encoder learn",
        ),
        ({"before": {"tune": {"kind": "lora", "per": "domain"}}}, "before.tune.per: domain: gives each domain an"),
        ({"before": {"tune": {"kind": "lora", "per": "task"}, "heads": TWO}}, "before.tune.per: task: gives each task"),
        ({"before": {"train": {"lr": "fast"}}}, "train.lr: 'fast' is not a number"),
        ({"before": "topics.yaml"}, "before: 'topics.yaml' is no recipe"),
    ],
)
def test_mistakes_in_chains_are_told_with_all_others(
    changed: dict[str, Any], words: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    for name, value in changed.items():
        old = settings[name]
        settings[name] = {**old, **value} if isinstance(value, dict) and isinstance(old, dict) else value
    settings["seed"] = -1
    with pytest.raises(nlptl.RecipeError) as told:
        nlptl.Recipe(**settings)
    assert words in str(told.value) and "seed" in str(told.value)
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with pytest.raises(nlptl.RecipeError) as told:
        nlptl.Recipe.load(tmp_path / "chain.yaml")
    assert words in str(told.value) and "chain.yaml:" in str(told.value)


def test_an_encoder_that_learns_nothing_is_not_waited_for(settings: dict[str, Any], tmp_path: Path) -> None:
    """Of a folder only the run can tell whether it is an earlier run, which may have changed the encoder."""
    frozen = settings["before"] | {"tune": {"kind": "frozen"}}
    asked: list[Any] = []

    def run(**changed: Any) -> None:
        run_before(
            nlptl.Recipe(**settings | {"before": frozen} | changed), tmp_path / "runs" / "spam", resume=False,
            accelerator=Accelerator(), fit=lambda of, out, resume: asked.append(of.name),
        )  # fmt: skip

    with pytest.raises(nlptl.RecipeError, match=r"before\.tune\.kind: frozen lets nothing in the encoder learn"):
        run()
    assert asked == []
    run(encoder=settings["encoder"] | {"take": ["body", "heads"]})
    assert asked == ["topics"]


def test_what_runs_first_may_extend_a_file_and_be_overridden(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(settings["before"]), encoding="utf-8")
    chain = settings | {"before": {"extends": "first.yaml", "train": {"epochs": 3}}}
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump(chain), encoding="utf-8")
    recipe = nlptl.Recipe.load(tmp_path / "chain.yaml", "before.tune.kind=frozen")
    assert recipe.before is not None and recipe.before.name == "topics"
    assert (recipe.before.train.epochs, recipe.before.tune.kind) == (3, "frozen")
    recipe.save(tmp_path / "saved.yaml")
    assert nlptl.Recipe.load(tmp_path / "saved.yaml") == recipe
