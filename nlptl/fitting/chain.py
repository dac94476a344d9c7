"""Chains: the recipe in section ``before`` runs first, and the run goes on from the model that it leaves."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from nlptl.contracts import Quarantine
from nlptl.data._read import fingerprint
from nlptl.errors import RecipeError
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.encoders import as_encoder
from nlptl.fitting.folder import RECIPE, differing
from nlptl.recipe import Recipe
from nlptl.recipe.rules_chain import nothing_to_take
from nlptl.saved.taken import is_run, load_backbone
from nlptl.transfer.rows import read_apart

log = logging.getLogger("nlptl")


@dataclass(frozen=True)
class Stage:
    """The run of a section ``before``: its folder, whether it is there and ended, and what has changed since."""

    folder: Path
    whole: bool
    changed: str | None = None

    @classmethod
    def of(cls, recipe: Recipe, folder: Path) -> Stage:
        """That of ``recipe``, whose own run is in ``folder``."""
        assert recipe.before is not None
        before, first = recipe.before, folder.parent / recipe.before.name
        written, locked = first / RECIPE, first / "lock.json"
        if not written.is_file():
            return cls(first, whole=False)
        keys = differing(written, before)
        changed = f"its recipe differs in {', '.join(keys[:5])}" if keys else None
        if changed is None and locked.is_file():
            changed = _changed(before, json.loads(locked.read_text(encoding="utf-8")))
        return cls(first, (first / "report.html").is_file() and locked.is_file() and changed is None, changed)


def run_before(
    recipe: Recipe, folder: Path, *, resume: bool, accelerator: Accelerator, fit: Callable[..., Any]
) -> Recipe:
    """``recipe`` with the run folder of its section ``before``, beside ``folder``, as its encoder; that run is made by
    ``fit`` unless it is there, whole, and no stage of the chain has another recipe, other data or another encoder.

    Raises:
        RecipeError: nothing in that run's encoder learns, and nothing else of it is taken.
    """
    if recipe.before is None:
        return recipe
    _leaves_something(recipe.before, recipe.encoder.take)
    stage = Stage.of(recipe, folder)
    accelerator.wait_for_everyone()  # all have looked before one of them changes the folder
    if stage.whole:
        log.info("%s is there already, of the same recipe, data and encoder: going on from it", stage.folder)
    else:
        if stage.changed:
            log.warning("%s is made again, and what goes on from it: %s", stage.folder, stage.changed)
        fit(recipe.before, out=stage.folder, resume=resume and stage.changed is None)
        accelerator.wait_for_everyone()
    return going_on(recipe, stage.folder)


def _leaves_something(before: Recipe, take: Sequence[str]) -> None:
    """Whether the encoder of ``before`` is another than the one that it begins from; asked before it is run.

    Raises:
        RecipeError: it is not, and no head is taken.
    """
    models = before.encoder.among or (before.encoder.model,)
    begins_anew = before.before is None and not any(is_run(model) for model in models)
    if begins_anew and not before.tune.learns and "heads" not in take:
        raise RecipeError(f"before.tune.kind: {nothing_to_take(before)}")


def after_before(recipe: Recipe) -> Recipe:
    """``recipe`` with the run folder of its section ``before``, as ``nlptl run`` without ``--out`` leaves it, as its
    encoder, for those who only look.

    Raises:
        RecipeError: that run has not been made, or not to its end, or something has changed since.
    """
    if recipe.before is None:
        return recipe
    stage = Stage.of(recipe, Path("runs") / recipe.name)
    if not stage.whole:
        why = f"is out of date ({stage.changed})" if stage.changed else f"holds no whole run of {recipe.before.name!r}"
        raise RecipeError(
            f"before: {stage.folder.resolve()} {why}; 'nlptl run' of this recipe makes it, or name a run that lies "
            "elsewhere: before=null encoder.model=FOLDER."
        )
    return going_on(recipe, stage.folder)


def going_on(recipe: Recipe, first: Path) -> Recipe:
    """``recipe`` with ``first`` as its encoder."""
    return recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={"model": str(first)})})


def _changed(recipe: Recipe, lock: Mapping[str, Any]) -> str | None:
    """What is not as ``lock`` records it of the run of ``recipe`` and of those before it; None where all is.

    A lock holds what its parents' locks held, so that the earlier runs themselves need not be there.
    """
    data = fingerprint(Corpus.of(read_apart(recipe, Quarantine())[0], recipe.heads).dataset)
    if data != lock["data"]:
        return f"the data of {recipe.name!r} have changed since"
    if recipe.before is not None:
        [earlier] = lock["parents"]
        return _changed(recipe.before, {**earlier["lock"], "parents": earlier["parents"]})
    for model in recipe.encoder.among or (recipe.encoder.model,):
        found = load_backbone(as_encoder(recipe.encoder, model))
        heads = [parent["heads"] for parent in (found.inherited.parents if found.inherited else ())]
        if (found.base_identity, heads) == (lock["encoder"], [parent["heads"] for parent in lock["parents"]]):
            return None
    return f"the encoder that {recipe.name!r} began from has changed since"
