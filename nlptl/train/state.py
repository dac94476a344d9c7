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

from nlptl.contracts import Balancer
from nlptl.errors import RunError
from nlptl.train import checkpoint
from nlptl.train.average import Average


@dataclass(frozen=True)
class Length:
    """How long to learn: ``epochs`` in all, and by task the epoch after which it teaches no more."""

    epochs: int
    stopped: Mapping[str, int] = field(default_factory=dict)


@dataclass
class TrainingState:
    """Counters, history and the best weights so far; ``learning`` is what training moves, by name."""

    learning: Mapping[str, Tensor]
    optimizer: Optimizer
    balancer: Balancer
    average: Average | None = None
    step: int = 0
    best_loss: float = math.inf
    best_epoch: int = 0
    """From 1; 0 where nothing was judged."""
    best_of_task: dict[str, float] = field(default_factory=dict)
    epochs_without_gain: dict[str, int] = field(default_factory=dict)
    """By task."""
    stopped_tasks: dict[str, int] = field(default_factory=dict)
    """By task, the epoch after which it teaches no more."""
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def length(self) -> Length:
        """How long the weights that are kept have learned."""
        last = self.history[-1]["epoch"] if self.history else 0
        return Length(self.best_epoch or last, dict(self.stopped_tasks))

    def judge(self, validation_losses: Mapping[str, float], patience: int | None, *, epoch: int) -> None:
        """After ``epoch``, from 1: keep the weights if their validation loss, summed over tasks, is the lowest so far;
        a task stops after ``patience`` epochs without a lower one of its own, and the run with its last task. Tasks
        that nothing judges are absent. A loss that is no number is lower than none.

        Raises:
            RunError: no epoch so far had a loss that is a number.
        """
        total = sum(validation_losses.values())
        if total < self.best_loss:
            self.best_loss, self.best_epoch = total, epoch
            self.best = {name: parameter.detach().clone() for name, parameter in self.learning.items()}
        if not self.best_epoch:
            raise RunError(_nothing_to_keep(validation_losses, epoch))
        for task, loss in validation_losses.items():
            better = loss < self.best_of_task.get(task, math.inf)
            self.best_of_task[task] = loss if better else self.best_of_task.get(task, math.inf)
            self.epochs_without_gain[task] = 0 if better else self.epochs_without_gain.get(task, 0) + 1
            if self.epochs_without_gain[task] == patience and task not in self.stopped_tasks:
                self.stopped_tasks[task] = epoch
        self.stopped = self.stopped_tasks.keys() >= validation_losses.keys()

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
        if self.average is not None:
            tensors |= {f"average/{name}": weights for name, weights in self.average.values.items()}
        tensors |= {f"balance/{name}": tensor for name, tensor in self.balancer.state.items()}
        counters = {key: getattr(self, key) for key in _COUNTERS}
        averaged = 0 if self.average is None else self.average.count
        state = {**counters, "averaged": averaged, "fingerprint": fingerprint, "history": self.history}
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
        if self.average is not None:
            self.average.count = found.state["averaged"]
        moments: dict[int, dict[str, Tensor]] = {}
        with torch.no_grad():
            for key, tensor in found.tensors.items():
                room, name = key.split("/", 1)
                if room == "weights":
                    self.learning[name].copy_(tensor)
                elif room == "best":
                    self.best[name] = tensor.to(self.learning[name].device)
                elif room == "average":
                    assert self.average is not None
                    self.average.values[name] = tensor.to(self.learning[name].device)
                elif room == "balance":
                    self.balancer.state[name] = tensor
                else:
                    place, moment = name.split("/")
                    moments.setdefault(int(place), {})[moment] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})


def _nothing_to_keep(losses: Mapping[str, float], epoch: int) -> str:
    told = ", ".join(f"{loss} of task {task!r}" for task, loss in losses.items() if not math.isfinite(loss))
    return (
        f"training stopped at epoch {epoch}: what chooses the epoch is no number ({told}). Lower train.lr, or look at "
        "the rows that choose (train.validation, train.select)."
    )


_COUNTERS = ("step", "best_loss", "best_epoch", "best_of_task", "epochs_without_gain", "stopped_tasks", "stopped")
