"""Chains: the recipe in section ``before`` runs first, and the run goes on from the model that it leaves."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator

from nlptl.contracts import Quarantine
from nlptl.data._read import fingerprint
from nlptl.errors import RecipeError
from nlptl.recipe import Recipe
from nlptl.saved.taken import is_run
from nlptl.transfer.rows import read_apart

log = logging.getLogger("nlptl")


def run_before(
    recipe: Recipe, folder: Path, *, resume: bool, accelerator: Accelerator, fit: Callable[..., Any]
) -> Recipe:
    """``recipe`` with the run folder of its section ``before``, beside ``folder``, as its encoder; that run is made by
    ``fit`` unless it is there, whole, and of the same recipe and data."""
    if recipe.before is None:
        return recipe
    first = folder.parent / recipe.before.name
    same, whole = _state(recipe.before, first)
    accelerator.wait_for_everyone()  # all have looked before one of them changes the folder
    if whole:
        log.info("%s is there already, of the same recipe and data: going on from it", first)
    else:
        fit(recipe.before, out=first, resume=resume and same)
        accelerator.wait_for_everyone()
    return going_on(recipe, first)


def after_before(recipe: Recipe) -> Recipe:
    """``recipe`` with the run folder of its section ``before`` as its encoder, for those who only look.

    Raises:
        RecipeError: that run has not been made.
    """
    if recipe.before is None:
        return recipe
    first = Path("runs") / recipe.before.name
    if not is_run(str(first)):
        raise RecipeError(
            f"before: {first.resolve()} holds no run of {recipe.before.name!r}; 'nlptl run' of this recipe makes it."
        )
    return going_on(recipe, first)


def going_on(recipe: Recipe, first: Path) -> Recipe:
    """``recipe`` with ``first`` as its encoder."""
    return recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={"model": str(first)})})


def _state(recipe: Recipe, folder: Path) -> tuple[bool, bool]:
    """(the run in ``folder`` is of ``recipe``, it is whole and of the same data too)."""
    written, locked = folder / "recipe.yaml", folder / "lock.json"
    if not written.is_file():
        return False, False
    same = yaml.safe_load(written.read_text(encoding="utf-8")) == json.loads(json.dumps(recipe.described()))
    if not same:
        log.warning("the run in %s was made by another recipe than section before: it is made anew", folder)
    if not (same and (folder / "report.html").is_file() and locked.is_file()):
        return same, False
    data = fingerprint(read_apart(recipe, Quarantine())[0])
    if data != json.loads(locked.read_text(encoding="utf-8"))["data"]:
        log.warning("the data of the run in %s has changed since: it is made anew", folder)
        return False, False
    return True, True
