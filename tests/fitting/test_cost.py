"""The cost account: what is counted, what scratch adds, and that reuse of lower layers changes no number."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from made_mail import mail

import nlptl
from nlptl.encoder.backbone import Backbone
from nlptl.fitting import reuse as fitting_reuse
from nlptl.fitting.account import Account, cost
from nlptl.recipe import Encoder
from nlptl.tune._scratch import Scratch


def recipe(model: Path, path: Path, **sections: Any) -> nlptl.Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path)},
        "encoder": {"model": str(model), "max_length": 24},
        "tune": {"kind": "top_layers", "layers": 1, "lr": 1e-3},
        "train": {"epochs": 2, "max_steps": 6, "batch_tokens": 256, "lr": 1e-2, "precision": "float32"},
        "heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**{name: {**settings.get(name, {}), **sections.get(name, {})} for name in settings})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mail.parquet"
    mail().to_parquet(path)
    return path


def test_encoded_texts_and_those_found_in_the_store_are_counted() -> None:
    told: list[tuple[int, int]] = []
    account = Account()
    progress = account.counting(10, lambda done, todo: told.append((done, todo)))
    progress(4, 7)
    progress(7, 7)
    account.counting(5, lambda done, todo: None)
    assert (account.encoded, account.stored) == (7, 8) and told == [(4, 7), (7, 7)]


def test_scratch_is_told_with_its_gain() -> None:
    gain = {"accuracy": 0.2, "ci95": [0.1, 0.3]}
    tasks = {"spam": {"rungs": {"scratch": {"overall": {"f1": 0.5}}}, "gains": {"overall": {"scratch": gain}}},
             "other": {"rungs": {}, "gains": {"overall": {}}}}  # fmt: skip
    found = cost(
        Account(scratch={"trainable": 9, "total": 9}), seconds={"scratch": 3.0}, params={"trainable": 1, "total": 9},
        peak_rss_mb=1.0, tasks=tasks,
    )  # fmt: skip
    expected = {"spam": {"overall": {"f1": 0.5}, "gain": gain}}
    assert found["scratch"] == {"params": {"trainable": 9, "total": 9}, "seconds": 3.0, "tasks": expected}


def test_scratch_draws_every_weight_anew_and_by_the_seed(tiny_encoder: Path) -> None:
    bodies = []
    for seed in (0, 0, 1):
        backbone = Backbone.load(Encoder(model=str(tiny_encoder), max_length=24))
        before = {name: p.detach().clone() for name, p in backbone.body.named_parameters()}
        torch.manual_seed(seed)
        Scratch(lr=1e-3).apply(backbone)
        bodies.append({name: p.detach().clone() for name, p in backbone.body.named_parameters()})
        assert all(p.requires_grad for p in backbone.body.parameters())
        moved = [name for name, p in bodies[-1].items() if not torch.equal(p, before[name])]
        assert {name for name in before if name.endswith("dense.weight")} <= set(moved)
    assert all(torch.equal(p, bodies[1][name]) for name, p in bodies[0].items())
    assert not all(torch.equal(p, bodies[2][name]) for name, p in bodies[0].items())


def test_the_account_of_a_run_beside_scratch(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    made = recipe(tiny_encoder, table, evaluate={"scratch": True})
    run = nlptl.fit(made, out=tmp_path / "run")
    found = run.results["cost"]
    texts = run.results["encoder"]["texts"]
    assert 0 < found["texts"]["encoded"] <= texts and found["texts"]["stored"] == 0
    [reuse] = found["reuse"]
    assert reuse["layers"] == 1 and reuse["why not"] is None and reuse["texts"] > 0
    scratch = found["scratch"]
    assert scratch["params"]["trainable"] > found["params"]["trainable"] > 0
    assert scratch["seconds"] == run.results["seconds"]["scratch"]
    answers = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert answers["scratch"].notna().all()
    assert np.abs(np.stack(answers["scratch"]) - np.stack(answers["model"])).max() > 0.05
    low, high = scratch["tasks"]["spam"]["gain"]["ci95"]
    assert low <= scratch["tasks"]["spam"]["gain"]["accuracy"] <= high
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Beside training from scratch" in page and "1 run once for" in page
    assert "trained from random weights" in (tmp_path / "run" / "model" / "README.md").read_text(encoding="utf-8")
    again = nlptl.fit(recipe(tiny_encoder, table), out=tmp_path / "again")
    assert again.results["cost"]["texts"] == {"encoded": 0, "stored": found["texts"]["encoded"]}
    assert again.results["cost"]["scratch"] is None
    assert again.results["overall"] == run.results["overall"]


def test_what_holds_ours_to_its_start_holds_scratch_to_none(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    answers = []
    for name, train in (("free", {}), ("held", {"mixout": 0.9, "l2_sp": 1.0})):
        nlptl.fit(recipe(tiny_encoder, table, train=train, evaluate={"scratch": True}), out=tmp_path / name)
        answers.append(pd.read_parquet(tmp_path / name / "predictions.parquet"))
    free, held = answers
    np.testing.assert_array_equal(np.stack(free["scratch"]), np.stack(held["scratch"]))
    assert not np.array_equal(np.stack(free["model"]), np.stack(held["model"]))


def test_a_run_is_the_same_whether_lower_layers_are_reused_or_not(
    tiny_encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked not to, and where memory lacks."""
    answers = []
    for name, reuse, share in (("reused", True, 0.25), ("off", False, 0.25), ("no room", True, 0.0)):
        monkeypatch.setattr(fitting_reuse, "MEMORY_SHARE", share)
        run = nlptl.fit(recipe(tiny_encoder, table, train={"reuse": reuse}), out=tmp_path / name)
        told = run.results["cost"]["reuse"]
        assert [entry["why not"] is None for entry in told] == {"reused": [True], "off": [], "no room": [False]}[name]
        answers.append(np.stack(pd.read_parquet(tmp_path / name / "predictions.parquet")["model"]))
    np.testing.assert_allclose(answers[1], answers[0], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(answers[1], answers[2])


def test_scratch_needs_heads_that_are_trained(tiny_encoder: Path, table: Path) -> None:
    described = recipe(tiny_encoder, table).model_dump()
    described |= {"tune": {"kind": "frozen"}, "evaluate": {"scratch": True}}
    described["heads"] = {"spam": {"kind": "knn", "column": "label"}}
    with pytest.raises(nlptl.RecipeError, match=r"evaluate\.scratch.*heads\.spam is of kind knn"):
        nlptl.Recipe(**described)
