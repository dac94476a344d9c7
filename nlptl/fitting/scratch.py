"""What training without transfer reaches: the same architecture, rows and steps from random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nlptl.fitting.account import SCRATCH
from nlptl.heads._solved import Solved
from nlptl.tune._scratch import Scratch

if TYPE_CHECKING:
    from nlptl.contracts import Ints
    from nlptl.fitting.setting import Setting, SolvedTurn
    from nlptl.fitting.train import Taught
    from nlptl.saved import Model
    from nlptl.transfer.plan import Turn


def scratch_model(
    setting: Setting,
    turn: Turn,
    held_back: Ints,
    solved: SolvedTurn,
    trained: Callable[[Setting, Turn, Ints, SolvedTurn], Taught],
    *,
    seed: int,
) -> Model:
    """A model whose encoder and heads start from random weights and all of which learns, over as many epochs of the
    same rows. Words beside the vectors stay: they are solved from the rows alone.

    Args:
        trained: trains what its setting, turn, rows held back and solved heads say.
    """
    recipe = setting.recipe.model_copy(
        update={
            "tune": Scratch(lr=setting.recipe.evaluate.scratch_lr),
            "adapt": (),
            # There is no start to be pulled to, nor one to be put back to.
            "train": setting.recipe.train.model_copy(update={"l2_sp": 0.0, "mixout": 0.0}),
        }
    )
    rng = np.random.default_rng((seed, 7))
    heads = {name: _drawn(head, rng) for name, head in solved.heads.items()}
    here, named = replace(setting, recipe=recipe, learned={}), replace(turn, name=f"{turn.name} {SCRATCH}")
    model = trained(here, named, held_back, replace(solved, heads=heads)).model
    learning = sum(parameter.numel() for parameter in model.network.parameters())
    setting.account.scratch = {"trainable": learning, "total": learning}
    return model


def _drawn(head: Solved, rng: np.random.Generator) -> Solved:
    """``head`` with weights as torch draws a linear map's: uniform within 1/√width."""
    bound = len(head.weights) ** -0.5
    weights, bias = (rng.uniform(-bound, bound, part.shape) for part in (head.weights, head.bias))
    return replace(head, weights=weights, bias=bias)
