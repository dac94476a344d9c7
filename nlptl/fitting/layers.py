"""How many top layers should learn: from what a solved head makes of each layer, one encoding pass for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Task
from nlptl.errors import ModelError
from nlptl.fitting.setting import Setting, SolvedTurn, teaching
from nlptl.heads._reading import every_layer
from nlptl.heads._solved import fold_loss
from nlptl.train.gather import of_first
from nlptl.transfer.plan import Turn
from nlptl.tune._targets import shares_layers

CLOSE = 1.05
"""A layer's loss is as good as the best one's up to this factor."""


def with_layers(setting: Setting, turn: Turn, solved: SolvedTurn) -> tuple[Setting, tuple[float, ...]]:
    """``setting`` with the number of top layers that learn, where the recipe leaves it open, and the losses that say
    so; none of them where it does not.

    Raises:
        ModelError: the encoder's layers share their weights, or are laid out like no known family's.
    """
    tune = setting.recipe.tune
    if not tune.asks_layers:
        return setting, ()
    if shares_layers(setting.backbone.body):
        raise ModelError(
            f"tune.layers: auto chooses how many layers learn, and all those of {setting.backbone.located.name} share "
            "their weights; set it to all for lora, or to 1 for top_layers."
        )
    losses = of_first(layer_losses(setting, turn, solved))
    chosen = tune.model_copy(update={"layers": top_layers(losses)})
    return replace(setting, recipe=setting.recipe.model_copy(update={"tune": chosen})), losses


def layer_losses(setting: Setting, turn: Turn, solved: SolvedTurn) -> tuple[float, ...]:
    """By layer, from the embeddings' output up: the cross-validated loss of its solved head, as a share of the labels'
    entropy, the mean over tasks. All layers are solved at the prior precision that the turn's own head chose, which is
    one for vectors of unit length: a search on each layer would take longer than the layers spared from training."""
    shares = []
    for name, rows in teaching(setting.corpus, turn).items():
        if name not in solved.heads:
            continue
        task, encoded = setting.corpus.tasks[name], setting.corpus.encoded[name][rows]
        entropy, precision = _entropy(task, task.targets(encoded)), solved.heads[name].precision[0]
        shares.append(
            [
                fold_loss(task, setting.vectors.of(rows, layer), encoded, solved.folds[name], precision) / entropy
                for layer in every_layer(setting.backbone.depth)
            ]
        )
    return tuple(float(share) for share in np.mean(shares, axis=0))


def top_layers(losses: Sequence[float]) -> int:
    """Losses of the embeddings' output and of each layer, from the bottom → how many top layers learn: those from the
    lowest layer up that is as good as the best, since what lies above it adds nothing as it is."""
    of_layers = losses[1:]
    lowest = next(place for place, loss in enumerate(of_layers) if loss <= CLOSE * min(of_layers))
    return len(of_layers) - lowest


def _entropy(task: Task, targets: npt.NDArray[np.float64]) -> float:
    """Of the label shares, in nats a row: what a head without features loses."""
    shares = np.clip(targets.mean(axis=0), 1e-12, 1 - 1e-12)
    if task.link == "softmax":
        return float(-(shares * np.log(shares)).sum())
    return float(-(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)).sum())
