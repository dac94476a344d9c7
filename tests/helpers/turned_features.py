"""Made feature vectors with one known shift between source and target, and a network that is trained on them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from accelerate import Accelerator

from nlptl.contracts import Task
from nlptl.contracts.adapt import Step, Term, View
from nlptl.heads.linear import Linear
from nlptl.heads.mlp import Mlp
from nlptl.model import Examples, Network, TaskHead
from nlptl.recipe import Train
from nlptl.train.adaptation import Adaptation
from nlptl.train.loop import train

ROWS = 200
LABELS = ("a", "b")


@dataclass(frozen=True)
class Shift:
    """(rows, width) vectors and (rows,) classes of both sides; the target's classes are for scoring only."""

    source: np.ndarray
    labels: np.ndarray
    target: np.ndarray
    truth: np.ndarray


def rotated(*, degrees: float = 55, seed: int = 0) -> Shift:
    """Covariate shift: two elongated classes, which the target shows turned about the middle of both.

    The rule from vector to class turns with the vectors, so that a rule learned on the source cuts the target's classes
    wrongly, while features that look alike on both sides, class by class, serve both.
    """
    rng = np.random.default_rng(seed)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sides = []
    for _ in range(2):
        labels = np.arange(ROWS) % 2
        vectors = rng.normal(size=(ROWS, 2)) * [0.5, 0.9] + np.where(labels[:, None] == 1, 1, -1) * [1.8, 0.0]
        sides.append((vectors, labels))
    (source, labels), (target, truth) = sides
    return Shift(source.astype(np.float32), labels, (target @ turn.T).astype(np.float32), truth)


class _NoBody(torch.nn.Module):
    """Stands for an encoder whose vectors are at hand."""

    width = 2
    rates: ClassVar[dict[str, object]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Identity()


def step_of(shift: Shift, *, logits: tuple[np.ndarray, np.ndarray] | None = None, progress: float = 0.5) -> Step:
    """One step that shows all rows of ``shift``; the logits, one a row, are 0 unless given."""

    def view(vectors: np.ndarray, labels: np.ndarray, z: np.ndarray) -> View:
        given = torch.as_tensor(z, dtype=torch.float32).reshape(len(vectors), 1)
        positive = torch.sigmoid(given)
        return View(torch.from_numpy(vectors), given, torch.cat([1 - positive, positive], 1), torch.from_numpy(labels))

    zeros = np.zeros(len(shift.source)), np.zeros(len(shift.target))
    source, target = logits or zeros
    there = view(shift.target, np.full(len(shift.target), -1), target)
    return Step(view(shift.source, shift.labels, source), replace(there, teacher=there.probabilities), progress)


def examples(vectors: np.ndarray, labels: np.ndarray, task: Task) -> Examples:
    return Examples(
        ids=[str(place) for place in range(len(vectors))], tasks={"task": task}, labels={"task": labels},
        lengths=np.ones(len(vectors), dtype=np.int64), readings={"last": vectors},
    )  # fmt: skip


def accuracy_on_target(shift: Shift, *terms: Term, epochs: int = 30, hidden: int = 16, seed: int = 0) -> float:
    """Of a small network (``hidden`` 0: a linear map) trained on the source, with ``terms`` that see the target."""
    torch.manual_seed(seed)
    head = Mlp(hidden=(hidden,), dropout=0.0) if hidden else Linear()
    task = Task("task", head, LABELS)
    network = Network(_NoBody(), {"task": TaskHead(task, "last", head.build(shift.source.shape[1], task.outputs))})
    source = examples(shift.source, shift.labels, task)
    target = examples(shift.target, np.full(len(shift.target), -1), task)
    with tempfile.TemporaryDirectory() as folder:
        train(
            network, source, validation=None, seed=seed, folder=Path(folder),
            settings=Train(epochs=epochs, batch_rows=50, lr=1e-2, checkpoint_steps=10**6), fingerprint="", resume=False,
            accelerator=Accelerator(cpu=True), log=lambda entry: None, progress=lambda done, total: None,
            adaptation=Adaptation(network, terms, source, target, rows=50) if terms else None,
        )  # fmt: skip
    with torch.no_grad():
        logits = network.heads["task"]({"last": torch.from_numpy(shift.target)}).numpy()
    return float(((logits[:, 0] > 0) == shift.truth).mean())
