"""Several processes: they end together where one fails, and come to one model; and what a run lets go in time."""

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from made_mail import mail

import nlptl
import nlptl.fitting
from nlptl.train.gather import while_others_wait

TWO = """
import hashlib, os, sys
import torch
import nlptl
from nlptl.fitting import turn
from nlptl.fitting.launch import destroy_process_group
from nlptl.train.contrast import Contrasting

rank, recipe = os.environ["RANK"], nlptl.Recipe.load(sys.argv[1])
advance = Contrasting.advance

def rounded(self, steps):  # as on another card: the second process comes to slightly other weights
    advance(self, steps)
    if rank == "1":
        with torch.no_grad():
            for parameter in self.learning:
                parameter.add_(1e-3)

Contrasting.advance = rounded
model = nlptl.fit(recipe, out=sys.argv[2]).model()
named = sorted(model.network.state_dict().items())
digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for _, tensor in named)).hexdigest()
print(f"{rank}: {digest}", flush=True)

def broken(*_):
    raise ValueError("no baselines today")

turn._baselines = broken
try:
    nlptl.fit(recipe, out=sys.argv[2])
except Exception as error:
    print(f"{rank}: {type(error).__name__}: {error}", flush=True)
destroy_process_group()
"""


def recipe(model: Path, folder: Path, **sections: Any) -> nlptl.Recipe:
    mail(24, ("ann", "bob")).to_parquet(folder / "mail.parquet")
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(folder / "mail.parquet"), "domain": "user"},
        "encoder": {"model": str(model), "max_length": 24, "pool": "last"},
        "heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"]}},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**(settings | sections))


def test_two_processes_come_to_one_body_and_fail_together(tiny_encoder: Path, tmp_path: Path) -> None:
    """Whoever catches the error of the first process, in a notebook or in a loop over recipes, would leave the second
    one waiting for answers."""
    tune = {"kind": "contrastive", "steps": 4, "check_steps": 2, "folds": 2, "keep": "always"}
    curve = {"bootstrap": 100, "cold_start": {"shots": [4], "seeds": 1}}  # which the first process draws alone
    recipe(tiny_encoder, tmp_path, tune=tune, evaluate=curve).save(tmp_path / "recipe.yaml")
    (tmp_path / "two.py").write_text(TWO, encoding="utf-8")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    told = subprocess.run(
        [*launch, str(tmp_path / "two.py"), str(tmp_path / "recipe.yaml"), str(tmp_path / "run")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}, check=True, capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip
    lines = sorted(line for line in told.stdout.splitlines() if line[:3] in ("0: ", "1: "))
    by_rank = {rank: [line[3:] for line in lines if line.startswith(rank)] for rank in "01"}
    [error], [digest] = ([x for x in by_rank["0"] if "Error" in x], [x for x in by_rank["0"] if "Error" not in x])
    assert error == "ValueError: no baselines today"
    assert set(by_rank["1"]) == {
        digest, "RunError: the first process stopped, and this one with it: ValueError: no baselines today",
    }  # fmt: skip


def test_one_process_fails_as_it_does(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="'this'"), while_others_wait():
        raise KeyError("this")


def test_models_of_later_seeds_are_let_go(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a turn begins, no network that an earlier turn trained is alive but that of the first seed."""
    made: list[Any] = []
    alive: list[int] = []
    run_turn = nlptl.fitting.run_turn

    def watched(*arguments: Any, **named: Any) -> Any:
        gc.collect()
        alive.append(sum(network() is not None for network in made))
        outcome = run_turn(*arguments, **named)
        made.extend(weakref.ref(model.network) for model in outcome.models.values())
        return outcome

    monkeypatch.setattr(nlptl.fitting, "run_turn", watched)
    sections = {"tune": {"kind": "lora", "rank": 2}, "train": {"max_steps": 1}}
    run = nlptl.fit(
        recipe(tiny_encoder, tmp_path, **sections, evaluate={"bootstrap": 100, "seeds": 3}), out=tmp_path / "run"
    )
    assert alive == [0, 1, 1]
    assert len(run.results["seeds"]) == 3 and run.predict(["win a cash prize"])["spam"][0] in ("ham", "spam")
