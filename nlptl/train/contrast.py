"""The training of a body by contrasts: a few batches that can be stopped at any step and gone on with."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from nlptl.contracts import UNLABELLED, Ints
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import Tokens, token_batches
from nlptl.errors import RunError
from nlptl.heads._reading import parts
from nlptl.tune._contrast import balanced_rows, contrastive_losses
from nlptl.tune.contrastive import Contrastive

CLIP = 1.0
"""Largest gradient norm."""


GROUP_TOKENS = 512
"""A batch goes through the body in groups of like length, so that short texts are not padded to the longest."""


class Contrasting:
    """A body in training, at one learning rate, so that it may end at any step; several may be in training at a time.

    Every process does all the work: a handful of texts is not worth dividing. On several cards their sums may differ in
    the last bits: ``take_first`` makes the bodies one.
    """

    def __init__(
        self,
        backbone: Backbone,
        settings: Contrastive,
        tokens: Tokens,
        classes: Mapping[str, Ints],
        readings: Mapping[str, str],
        seed: int,
    ) -> None:
        """
        Args:
            backbone: on which ``settings`` were applied.
            tokens: of all rows.
            classes: by task, (rows,) the class of each row, −1 where it must not teach.
            readings: by task, what its head reads, which is what the loss compares.
            seed: of the rows drawn.
        """
        self.backbone, self.settings, self.tokens = backbone.switch_off_dropout(), settings, tokens
        self.classes, self.readings = classes, readings
        self.learning = [parameter for parameter in backbone.body.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.learning, lr=settings.rate, weight_decay=0.0, fused=True)
        self.rng = np.random.default_rng((seed, 5))
        self.hardness = {task: np.ones(len(of_task)) for task, of_task in classes.items()}
        self.steps = 0

    def advance(self, steps: int) -> None:
        """Train for so many more batches.

        Raises:
            RunError: a loss or gradient is not finite.
        """
        self.backbone.train()
        for _ in range(steps):
            self.steps += 1
            self._step()
        self.backbone.eval()

    def take_first(self) -> None:
        """Take the weights that the first process came to; to be called by all."""
        from accelerate.utils import broadcast

        with torch.no_grad():
            for parameter in self.learning:
                parameter.copy_(broadcast(parameter.detach().clone()))

    def _step(self) -> None:
        loss = sum(self._backward(task) for task in self.classes)
        norm = float(torch.nn.utils.clip_grad_norm_(self.learning, CLIP))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise RunError(
                f"contrastive step {self.steps}: the loss is {loss:.3g} and the gradient's norm {norm:.3g}, and one of "
                f"them is no number; lower tune.lr (it is {self.settings.rate:g})."
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _backward(self, task: str) -> float:
        """Leave the gradient of one batch of ``task``; its mean loss."""
        classes, hardness = self.classes[task], self.hardness[task]
        labels = len(np.unique(classes[classes != UNLABELLED]))
        rows = balanced_rows(classes, max(2, self.settings.rows // max(labels, 1)), hardness, self.rng)
        device = self.learning[0].device
        names = parts([self.readings[task]])
        groups = token_batches(self.tokens.row_lengths[rows], GROUP_TOKENS)
        rows = rows[np.concatenate(groups)]
        found = [self.backbone(self.tokens.batch(of, device), names) for of in np.split(rows, _ends(groups))]
        vectors = torch.cat([torch.cat([each[name] for each in found]) for name in names], dim=1)
        losses = contrastive_losses(vectors, torch.from_numpy(classes[rows]).to(device), self.settings.temperature)
        mean = losses.mean()
        mean.backward()
        # A row is as hard as its loss was when it was last met; the floor keeps every row in the draw.
        hardness[rows] = np.maximum(losses.detach().cpu().double().numpy(), 0.05)
        return float(mean.detach())


def _ends(groups: list[Ints]) -> Ints:
    """Where each group but the last ends, laid one after another."""
    return np.cumsum([len(group) for group in groups])[:-1].astype(np.int64)
