"""What a launcher asks for: its mixed precision wins over the recipe's and is written to the lock; fp16 is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_mail import mail

import nlptl
from nlptl.fitting import _backbone


def recipe(model: Path, path: Path, **sections: Any) -> nlptl.Recipe:
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(path), "domain": "user"},
        "encoder": {"model": str(model), "max_length": 24, "pool": "last", "precision": "float32"},
        "tune": {"kind": "lora", "rank": 2},
        "heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"]}},
        "train": {"max_steps": 2, "precision": "float32"},
        "evaluate": {"bootstrap": 100},
    }
    return nlptl.Recipe(**(settings | sections))


def launched(folder: Path, precision: str) -> "subprocess.CompletedProcess[str]":
    """``nlptl run`` as ``accelerate launch --mixed_precision`` starts it."""
    environment = os.environ | {"ACCELERATE_MIXED_PRECISION": precision, "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(
        [sys.executable, "-m", "nlptl", "run", "recipe.yaml", "--out", "run"], cwd=folder, env=environment,
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def test_the_launchers_mixed_precision_wins_and_is_written_to_the_lock(tiny_encoder: Path, tmp_path: Path) -> None:
    mail(20, ("ann", "bob")).to_parquet(tmp_path / "mail.parquet")
    recipe(tiny_encoder, tmp_path / "mail.parquet").save(tmp_path / "recipe.yaml")
    done = launched(tmp_path, "bf16")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "lock.json").read_text(encoding="utf-8"))["precision"] == "bf16"


def test_a_launcher_that_asks_for_fp16_is_refused_with_the_next_step(tiny_encoder: Path, tmp_path: Path) -> None:
    recipe(tiny_encoder, tmp_path / "absent.parquet").save(tmp_path / "recipe.yaml")
    done = launched(tmp_path, "fp16")
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert "mixed precision fp16" in done.stderr and "launch with --mixed_precision bf16, or no." in done.stderr


@pytest.mark.parametrize(("of_launcher", "expected"), [("bf16", "float32"), ("no", "bfloat16")])
def test_frozen_weights_have_the_recipes_precision_unless_the_launcher_mixes(
    of_launcher: str, expected: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Under mixed precision the weights stay in float32, and it is the launcher's that casts."""
    made = recipe(tiny_encoder, tmp_path / "absent.parquet", train={"precision": "bfloat16"})
    accelerator: Any = SimpleNamespace(device="cpu", mixed_precision=of_launcher)
    assert _backbone(made, accelerator)[1] == expected
