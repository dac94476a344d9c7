"""All rows teach, once the rows held back have chosen: the training is made once more from the start, and serves.

How long to train is told by rows that do not teach; where labels are few, their absence costs more than the choice
gains. So what they chose is kept (the rung, the number of layers, whether augmentation helps, the epoch, and where a
task stops by itself) and all rows train anew from solved heads of their own: the second strategy of Goodfellow, Bengio
& Courville 2016, *Deep Learning*, §7.8, algorithm 7.2, which leaves open whether to repeat passes over the rows or
steps. Passes are repeated: each row is seen as often as in the training that was judged. Every schedule stays that of
all epochs and is cut off where the kept weights were, since those were judged, and none that a shorter schedule makes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nlptl.contracts import Ints
from nlptl.fitting.augment import Learned, widened
from nlptl.transfer.plan import Turn
from nlptl.tune.contrastive import Contrastive


def refitted(
    learn: Callable[..., Learned], learned: Learned, turn: Turn, groups: Ints, held_back: Ints, *, seed: int
) -> tuple[Learned, dict[str, Any]]:
    """What all rows of ``turn`` teach by the choices of ``learned``, and what that took; ``learned`` as it is, and
    nothing, where the recipe does not ask for it or no row was held back.

    ``judged`` stays the model that the rows held back did not teach: only its answers on them are evidence.

    Args:
        learn: as ``turn.learn_turn``.
        groups: (teaching rows of ``turn``,) near-duplicate groups.
    """
    setting = learned.setting
    if not (setting.recipe.train.refit and len(held_back)):
        return learned, {}
    began = time.perf_counter()
    if isinstance(setting.recipe.tune, Contrastive):  # a rung that has won is not asked again
        tune = setting.recipe.tune.model_copy(update={"keep": "always"})
        setting = replace(setting, recipe=setting.recipe.model_copy(update={"tune": tune}))
    whole, of_whole = widened(setting, turn, groups) if setting.recipe.augment else (turn, groups)
    whole, length = replace(whole, name=f"{turn.name} refit"), learned.length
    again = learn(setting, whole, of_whole, held_back=held_back[:0], seed=seed, length=length)
    told = {
        "rows": len(whole.teach), "held back before": len(held_back),
        "epochs": None if length is None else length.epochs, "seconds": round(time.perf_counter() - began, 3),
    }  # fmt: skip
    setting.account.refits.append({"turn": turn.name, "seed": seed} | told)
    return replace(again, by_layer=learned.by_layer, climbed=learned.climbed, judged=learned.judged), told
