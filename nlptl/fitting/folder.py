"""The run folder: what a run leaves behind, written so that a kill cannot half-write it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nlptl import __version__
from nlptl.contracts import Quarantine
from nlptl.errors import RecipeError, RunError
from nlptl.recipe import Recipe
from nlptl.recipe.text import as_yaml
from nlptl.recipe.yaml import parse
from nlptl.train.gather import while_others_wait

STACK = ("torch", "transformers", "peft", "accelerate", "datasets", "evaluate", "scikit-learn", "numpy")

_OURS = (
    "lock.json", "metrics.jsonl", "results.json", "report.html", "rejected.jsonl", "predictions.parquet",
    "answers.parquet", "checkpoints", "model",
)  # fmt: skip


RECIPE = "recipe.yaml"
_MARK = "# What this run was asked for, every default spelled out; written by nlptl run.\n"
"""Begins a run's ``recipe.yaml``: a folder that holds a recipe of the user's own is no run."""


class RunFolder:
    """Writes the parts of a run folder; on processes other than the main one it writes nothing."""

    def __init__(self, path: Path, *, main: bool) -> None:
        self.path = path
        self.main = main

    @property
    def checkpoints(self) -> Path:
        """Where trainings keep their checkpoints, one folder each."""
        return self.path / "checkpoints"

    def look(self, recipe: Recipe, *, resume: bool) -> None:
        """See whether ``recipe`` may have the folder; nothing is changed.

        Raises:
            RunError: the folder holds other files and no run, and is left alone.
            RecipeError: the run to resume was made by another recipe.
        """
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        written = self.path / RECIPE
        if not (written.is_file() and written.read_text(encoding="utf-8").startswith(_MARK)):
            raise RunError(f"{self.path.resolve()} holds files but no run; name another folder with --out.")
        if resume:
            _same_recipe(written, recipe)

    def begin(self, recipe: Recipe, *, resume: bool, wait: Callable[[], None]) -> None:
        """Put a new run in the place of an earlier one; one that goes on keeps its checkpoints.

        Args:
            wait: returns once all processes have called it: all have looked before one of them changes anything.
        """
        wait()
        with while_others_wait():
            if self.main:
                self.path.mkdir(parents=True, exist_ok=True)
                self._write(RECIPE, _MARK + as_yaml(recipe, described=True))
                self._clear(kept={"checkpoints"} if resume else set())

    def _clear(self, kept: set[str]) -> None:
        for name in _OURS:
            target = self.path / name
            if name not in kept and target.exists():
                shutil.rmtree(target) if target.is_dir() else target.unlink()

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append one line to ``metrics.jsonl``."""
        if self.main:
            with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")

    def write_json(self, name: str, content: Any) -> None:
        """Write ``name`` whole or not at all."""
        self._write(name, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def write_rejected(self, quarantine: Quarantine) -> None:
        """One line of ``rejected.jsonl`` for each refused row."""
        lines = [json.dumps(vars(rejection), ensure_ascii=False) for rejection in quarantine.rejections]
        self._write("rejected.jsonl", "".join(line + "\n" for line in lines))

    def _write(self, name: str, text: str) -> None:
        if self.main:
            partial = self.path / f".{name}.partial"
            partial.write_text(text, encoding="utf-8")
            partial.replace(self.path / name)


def lock(
    recipe: Recipe,
    *,
    data: str,
    encoder: str,
    device: str,
    precision: str,
    processes: int,
    parents: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What it takes to run again to the same numbers: versions, hashes of data and encoder, device, command."""
    return {
        "versions": {"python": platform.python_version(), "nlptl": __version__, **{p: version(p) for p in STACK}},
        "platform": platform.platform(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "seed": recipe.seed,
        "data": data,
        "encoder": encoder,
        "device": device,
        "processes": processes,
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "precision": precision,
        "recipe": recipe.name,
        "parents": list(parents),
    }


def file_name(target: str) -> str:
    """A file name for a domain's name, which may hold anything; distinct names stay distinct."""
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in target)[:80]
    return safe if safe == target else f"{safe}-{hashlib.sha256(target.encode()).hexdigest()[:8]}"


def differing(written: Path, recipe: Recipe) -> list[str]:
    """The dotted keys whose values in the file that a run wrote are not those of ``recipe``, sorted."""
    before = parse(written.read_text(encoding="utf-8"), str(written), [])
    ours, theirs = _flat(json.loads(json.dumps(recipe.described()))), _flat(before.plain() if before else {})
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


def _same_recipe(written: Path, now: Recipe) -> None:
    if keys := differing(written, now):
        raise RecipeError(
            f"the run in {written.parent} was made by another recipe: {', '.join(keys[:5])} differ. "
            "Run without --resume to start anew, or into another folder with --out."
        )


def _flat(values: Any, place: str = "") -> dict[str, Any]:
    if isinstance(values, dict):
        return {key: value for name, part in values.items() for key, value in _flat(part, f"{place}.{name}").items()}
    return {place.removeprefix("."): values}
