"""Encoders and earlier runs are ranked by what solved heads make of their vectors."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from made_mail import mail
from safetensors.torch import load_file, save_file
from tiny_encoder import save_tiny_encoder

import nlptl
from nlptl.cli import main
from nlptl.diagnosing.rank import rank_candidates
from nlptl.fitting import encoders as encoders_module


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny encoder, and one whose word vectors are all alike, so that it tells no text from another."""
    found = {name: save_tiny_encoder(tmp_path_factory.mktemp(name)) for name in ("good", "blind")}
    weights = load_file(found["blind"] / "model.safetensors")
    words = next(name for name in weights if name.endswith("word_embeddings.weight"))
    weights[words] = torch.zeros_like(weights[words])
    save_file(weights, found["blind"] / "model.safetensors", {"format": "pt"})
    return found


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    mail(rows=40).to_parquet(tmp_path / "mail.parquet")
    return {
        "data": {"kind": "parquet", "path": str(tmp_path / "mail.parquet"), "domain": "user"},
        "transfer": {"target": "dee", "target_labels": 0, "hold_out": 0.5},
        "encoder": {"max_length": 24},
        "heads": {"spam": {"kind": "linear", "column": "label"}},
        "evaluate": {"bootstrap": 100},
    }


def test_the_better_encoder_is_chosen_and_trained(
    settings: dict[str, Any], encoders: dict[str, Path], tmp_path: Path
) -> None:
    among = [str(encoders["blind"]), str(encoders["good"])]
    made = nlptl.Recipe(**settings | {"encoder": {"max_length": 24, "among": among}})
    run = nlptl.fit(made, out=tmp_path / "run")
    assert run.results["encoder"]["ranked"][0]["encoder"] == among[1]
    told = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert told["encoder"]["model"] == among[1]
    assert nlptl.Recipe.load(tmp_path / "run" / "recipe.yaml") == made


def test_runs_and_encoders_stand_in_one_table(
    settings: dict[str, Any], encoders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = {"tune": {"kind": "lora", "rank": 2}, "train": {"max_steps": 2, "lr": 0.05}}
    first = settings | {"encoder": {"max_length": 24, "model": str(encoders["good"])}} | tuned
    nlptl.fit(nlptl.Recipe(**first), out=tmp_path / "runs" / "first")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main([
            "rank-sources", str(tmp_path / "recipe.yaml"), "--encoder", str(encoders["blind"]),
            "--run", str(tmp_path / "runs" / "*"), "-o", str(tmp_path / "found.json"),
        ])  # fmt: skip
    assert not end.value.code and "layer.0" in capsys.readouterr().out
    [rows] = json.loads((tmp_path / "found.json").read_text()).values()
    assert {row["encoder"] for row in rows} == {str(tmp_path / "runs" / "first"), str(encoders["blind"])}
    assert {row["reading"] for row in rows} == {"last", "layers", "last+layers", "layer.0", "layer.1"}
    assert rows[0]["encoder"] == str(tmp_path / "runs" / "first")
    assert all({"logme", "knn", "hscore", "nleep"} <= set(row) for row in rows)
    of_run = [row["encoder"] == str(tmp_path / "runs" / "first") for row in rows]
    assert [row["leep"] is not None and row["nce"] <= 0 for row in rows] == of_run
    assert len({(row["leep"], row["nce"]) for row in rows}) == 2
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    with pytest.raises(SystemExit) as end:
        main(["rank-sources", str(tmp_path / "recipe.yaml"), "--run", str(tmp_path / "none*")])
    assert end.value.code == 2 and "no run or model folder" in capsys.readouterr().err


def test_no_scored_row_or_hidden_label_is_looked_at(settings: dict[str, Any], encoders: dict[str, Path]) -> None:
    import pandas as pd

    table = pd.read_parquet(settings["data"]["path"])
    seen = dict(rank_candidates(nlptl.Recipe(**settings), [str(encoders["good"])]))
    table.loc[table["user"] == "dee", "label"] = "ham"
    hidden = settings | {"data": {"kind": "frame", "table": table, "domain": "user"}}
    assert dict(rank_candidates(nlptl.Recipe(**hidden), [str(encoders["good"])])) == seen


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"encoder": {"among": ["a"], "model": "b"}}, "encoder.model: 'b' is set, and encoder.among"),
        ({"encoder": {"among": ["a"]}, "transfer": {"protocol": "leave_one_out"}}, "encoder.among: one encoder is"),
        ({"encoder": {"among": ["a"]}, "evaluate": {"seeds": 2}}, "each of evaluate.seeds scores rows that teach"),
    ],
)
def test_what_cannot_be_chosen_is_said(changed: dict[str, Any], words: str, settings: dict[str, Any]) -> None:
    with pytest.raises(nlptl.RecipeError, match=words):
        nlptl.Recipe(**settings | changed)


def test_what_taught_a_candidate_does_not_choose_it(
    settings: dict[str, Any], encoders: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A run is compared on rows that it does not know; where there are none it is refused, or told."""
    tuned = {"tune": {"kind": "lora", "rank": 2}, "train": {"max_steps": 2}}
    by_two = settings | {"encoder": {"max_length": 24, "model": str(encoders["good"])}} | tuned
    by_two["transfer"] = settings["transfer"] | {"source": ["ann", "bob"]}
    nlptl.fit(nlptl.Recipe(**by_two), out=tmp_path / "first")
    among = {"encoder": {"max_length": 24, "among": [str(encoders["blind"]), str(tmp_path / "first")]}}
    with pytest.raises(nlptl.DataError, match=r"encoder\.among: 80 of the 80 rows that would compare encoders taught"):
        nlptl.fit(nlptl.Recipe(**by_two | among), out=tmp_path / "run")
    keep = {"transfer": by_two["transfer"] | {"leaks": "keep"}}
    nlptl.fit(nlptl.Recipe(**by_two | among | keep), out=tmp_path / "run")
    assert "80 of the 80 rows" in caplog.text and "looks better than it is" in caplog.text

    seen: list[int] = []
    made = nlptl.Recipe(**settings | among)
    solve = encoders_module.solve_head

    def watched(task: Any, readings: Any, labels: Any, held: Any) -> Any:
        seen.append(len(labels))
        return solve(task, readings, labels, held)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders_module, "solve_head", watched)
        nlptl.fit(made, out=tmp_path / "new")
    assert set(seen) == {40}  # cy's
