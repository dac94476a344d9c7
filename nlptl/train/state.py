"""What a training run needs to go on, as plain tensors and numbers: in memory, and in a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from nlptl.errors import RunError
from nlptl.train import checkpoint


@dataclass
class TrainingState:
    """Counters, history and the best weights so far; ``learning`` are the parameters that learn, by name."""

    learning: Mapping[str, torch.nn.Parameter]
    optimizer: Optimizer
    step: int = 0
    best_loss: float = math.inf
    epochs_without_gain: int = 0
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    def judge(self, validation_loss: float, patience: int | None) -> None:
        """Keep the weights if their validation loss is the lowest so far; stop after ``patience`` epochs without."""
        if validation_loss < self.best_loss:
            self.best_loss, self.epochs_without_gain = validation_loss, 0
            self.best = {name: parameter.detach().clone() for name, parameter in self.learning.items()}
        else:
            self.epochs_without_gain += 1
            self.stopped = self.epochs_without_gain == patience

    def keep_best(self) -> None:
        """Put the best weights back, where there was validation."""
        with torch.no_grad():
            for name, weights in self.best.items():
                self.learning[name].copy_(weights)

    def save(self, folder: Path, fingerprint: str) -> None:
        """Write a checkpoint of this state."""
        tensors = {f"weights/{name}": parameter.detach() for name, parameter in self.learning.items()}
        tensors |= {f"best/{name}": weights for name, weights in self.best.items()}
        for place, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{place}/{name}": torch.as_tensor(value) for name, value in moments.items()}
        counters = {key: getattr(self, key) for key in _COUNTERS}
        state = {**counters, "fingerprint": fingerprint, "history": self.history}
        checkpoint.save(folder, self.step, checkpoint.Checkpoint(tensors, state))

    def restore(self, folder: Path, fingerprint: str) -> None:
        """Go on from the newest whole checkpoint in ``folder``, if there is one.

        Raises:
            RunError: the checkpoint was made by another recipe, from other data or another encoder.
        """
        found = checkpoint.load_latest(folder)
        if found is None:
            return
        if found.state["fingerprint"] != fingerprint:
            raise RunError(
                f"the checkpoints in {folder} were made by another recipe, other data or another encoder; "
                "run without --resume, or into another folder with --out."
            )
        for key in (*_COUNTERS, "history"):
            setattr(self, key, found.state[key])
        moments: dict[int, dict[str, Tensor]] = {}
        with torch.no_grad():
            for key, tensor in found.tensors.items():
                room, name = key.split("/", 1)
                if room == "weights":
                    self.learning[name].copy_(tensor)
                elif room == "best":
                    self.best[name] = tensor.to(self.learning[name].device)
                else:
                    place, moment = name.split("/")
                    moments.setdefault(int(place), {})[moment] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})


_COUNTERS = ("step", "best_loss", "epochs_without_gain", "stopped")
