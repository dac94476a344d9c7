"""What chooses the epoch of one turn's training, without the target's labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from nlptl.adapt.importance import Importance
from nlptl.contracts import Ints
from nlptl.fitting.adapt import without_labels
from nlptl.fitting.bank import apart
from nlptl.fitting.setting import Setting
from nlptl.model import Examples, Network
from nlptl.recipe import Recipe
from nlptl.train.select import CRITERIA, label_free
from nlptl.transfer.needs import target_texts
from nlptl.transfer.plan import Turn
from nlptl.tune.contrastive import Contrastive


def validation_rows(
    setting: Setting, turn: Turn, held_back: Ints, examples: Callable[[Ints], Examples], seed: int
) -> Examples | None:
    """The rows that were held back, as the loop wants them; for ``select: importance`` weighed by how much they
    resemble the target's texts (importance-weighted cross-validation: Sugiyama et al. 2007, JMLR 8)."""
    if not len(held_back):
        return None
    held_out = examples(held_back)
    if setting.recipe.train.select != "importance":
        return held_out
    vectors, target = setting.vectors, target_texts(turn, setting.corpus.domains, kind="train.select importance")
    weights = Importance(exponent=1.0, effective=0.0).weights(
        vectors.of(held_back, "last"), vectors.of(target, "last"), np.arange(len(held_back)), seed=seed
    )
    return replace(held_out, weights=dict.fromkeys(setting.corpus.tasks, weights))


def judge(
    setting: Setting, turn: Turn, network: Network, examples: Callable[[Ints], Examples]
) -> Callable[[], dict[str, float]] | None:
    """What judges an epoch by the answers on the target's unlabelled rows; None where validation rows do."""
    criterion = setting.recipe.train.select
    if criterion not in CRITERIA:
        return None
    target = without_labels(examples(target_texts(turn, setting.corpus.domains, kind=f"train.select {criterion}")))
    return partial(label_free, network, target, criterion, setting.accelerator.device)


def has_epochs(recipe: Recipe) -> bool:
    """Whether what is trained goes through the loop, which keeps its best epoch; adapters of single domains and what
    learns by contrasts do not."""
    return not apart(recipe) and not isinstance(recipe.tune, Contrastive)


def chosen_by(setting: Setting, held_back: Ints) -> dict[str, str]:
    """The criterion, for the record; empty where no epoch was chosen."""
    select = setting.recipe.train.select
    chose = has_epochs(setting.recipe) and (select in CRITERIA or len(held_back) > 0)
    return {"epoch chosen by": select} if chose else {}
