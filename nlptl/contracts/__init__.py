"""What a kind of each room must offer, and the few objects that rooms hand to one another.

A kind is its frozen settings. It imports no torch at the top: torch is imported inside its methods, so that checking
and listing recipes starts at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nlptl.errors import DataError
from nlptl.registry import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import torch

    from nlptl.encoder.backbone import Backbone
    from nlptl.heads._evidence import ClosedForm, Evidence
    from nlptl.saved import Model

Floats: TypeAlias = "npt.NDArray[np.floating[Any]]"
Ints: TypeAlias = "npt.NDArray[np.int64]"

UNLABELLED = -1
"""The class index of a row without a label (a multilabel row without labels is all NaN)."""


# --- data -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rejection:
    """One refused row: where it stood and why it cannot be used."""

    file: str
    line: int
    reason: str
    excerpt: str = ""


@dataclass
class Quarantine:
    """Collects refused rows, so that nothing is lost silently."""

    rejections: list[Rejection] = field(default_factory=list)

    def reject(self, file: str, line: int, reason: str, excerpt: str = "") -> None:
        """Record one refused row; ``line`` counts from 1, ``excerpt`` is cut to 80 characters."""
        self.rejections.append(Rejection(file, line, reason, excerpt[:80]))

    def __len__(self) -> int:
        return len(self.rejections)


class Source(Settings):
    """Where text comes from. Columns are named here; the labels' columns are named by the heads."""

    kind: str
    text: str = Field("text", description="Column of the text.")
    text_pair: str | None = Field(None, description="Column of the second text, for pairs.")
    domain: str | None = Field(None, description="Column of the domain (user, mailbox, product); none: one domain.")
    time: str | None = Field(None, description="Column of the time, for hold-out in time order.")
    id: str | None = Field(None, description="Column of a stable row id; none: ids are made from the content.")
    split: str | None = Field(None, description="Column with official splits: train, validation, test, unlabelled.")
    sample: int | None = Field(None, gt=0, description="At most so many rows a domain, drawn by row id and seed.")
    max_rejected: float = Field(0.05, ge=0, le=1, description="Largest share of rows that may be rejected.")

    def frame(self, quarantine: Quarantine) -> pd.DataFrame:
        """All raw rows as a table of the source's own columns, plus ``__file__`` and ``__line__`` (from 1).

        Rows that cannot even be split into columns or decoded go to ``quarantine``; every other check is made by the
        reader that all kinds share.

        Raises:
            DataError: the source is absent or cannot be read at all.
        """
        raise NotImplementedError

    def size(self) -> int | None:
        """Bytes that are to be read; None where only reading tells."""
        return None


# --- heads ------------------------------------------------------------------------------------------------------------


class Head(Settings):
    """Vectors → answers for one task. Binary tasks have one logit, for the second label."""

    kind: str
    column: str | None = Field(None, description="Column of the labels; none: the column named as the task.")
    source: str | None = Field(None, description="The named source whose column it is; none: all that have it.")
    labels: tuple[str, ...] | None = Field(None, min_length=2, description="The label set; none: as found in the data.")
    positive: str | None = Field(None, description="The label to be caught, such as spam: F1, AUC and recall are its.")
    multilabel: bool = Field(False, description="A row may have several labels, or none.")
    separator: str = Field(",", min_length=1, description="Between the labels of one multilabel text cell.")

    @property
    def closed_form(self) -> bool:
        """Whether it is solved from stored vectors, rather than trained by gradient descent."""
        return False

    @property
    def needs_labels(self) -> bool:
        """Whether rows must teach it."""
        return True

    @property
    def reads_unlabelled(self) -> bool:
        """Whether it looks at texts without their labels."""
        return False

    def phrasings(self, labels: Sequence[str]) -> Sequence[Sequence[str]]:
        """What each of ``labels`` is called, for heads that read it; for others nothing."""
        return ()

    def build(self, width: int, outputs: int) -> torch.nn.Module:
        """A module from (rows, ``width``) features to (rows, ``outputs``) logits."""
        raise NotImplementedError

    def solve(self, evidence: Evidence) -> ClosedForm:
        """The head in closed form; linear ones are solved by ``heads._solved`` instead, many problems at once."""
        raise NotImplementedError


@dataclass(frozen=True)
class Task:
    """One label set, resolved: the head's settings and the labels in their order."""

    name: str
    head: Head
    labels: tuple[str, ...]

    @property
    def link(self) -> Literal["softmax", "sigmoid"]:
        """``softmax`` over three or more exclusive labels; ``sigmoid`` for binary and multilabel tasks."""
        return "sigmoid" if self.head.multilabel or len(self.labels) == 2 else "softmax"

    @property
    def outputs(self) -> int:
        """Logits a row: one a label, but one in all for a binary task."""
        return 1 if len(self.labels) == 2 and not self.head.multilabel else len(self.labels)

    @property
    def positive(self) -> int | None:
        """Index of the label to be caught, where the recipe names one."""
        return None if self.head.positive is None else self.labels.index(self.head.positive)

    def encode(self, values: Sequence[Any]) -> npt.NDArray[Any]:
        """Labels as numbers: (rows,) int64 class indices with −1 for unlabelled rows; for a multilabel task
        (rows, labels) float32 of 0 and 1 with NaN in unlabelled rows.

        Raises:
            DataError: a value is not one of the task's labels.
        """
        index = {label: place for place, label in enumerate(self.labels)}
        try:
            if not self.head.multilabel:
                return np.array([UNLABELLED if v is None else index[v] for v in values], dtype=np.int64)
            encoded = np.zeros((len(values), len(self.labels)), dtype=np.float32)
            for row, names in enumerate(values):
                encoded[row, [] if names is None else [index[name] for name in names]] = 1
                if names is None:
                    encoded[row] = np.nan
            return encoded
        except KeyError as error:
            raise DataError(
                f"label {error.args[0]!r} is not one of task {self.name!r}: {', '.join(self.labels)}."
            ) from None

    def targets(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """What ``encode`` returned → (rows, outputs) of 0 and 1, one a logit; unlabelled rows are all 0."""
        if self.head.multilabel:
            return np.asarray(np.nan_to_num(encoded), dtype=np.float64)
        classes = np.arange(len(self.labels))[-self.outputs :]
        return np.asarray(encoded[:, None] == classes, dtype=np.float64)

    def labelled(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """(rows,) bool: which rows of what ``encode`` returned have a label."""
        return np.asarray(~np.isnan(encoded[:, 0]) if self.head.multilabel else encoded != UNLABELLED)

    def probabilities(self, logits: Floats) -> Floats:
        """(rows, outputs) logits → (rows, labels) probabilities."""
        logits = np.asarray(logits, dtype=np.float64)
        if self.link == "softmax":
            shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
            return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
        positive = 1 / (1 + np.exp(-logits))
        return positive if self.head.multilabel else np.concatenate([1 - positive, positive], axis=1)


# --- tune -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rate:
    """How a pretrained weight learns: at peak learning rate ``lr``, from ``start`` in [0, 1] of the run on."""

    lr: float
    start: float = 0.0


class Tune(Settings):
    """What in the encoder learns."""

    kind: str

    @property
    def learns(self) -> bool:
        """Whether anything in the body learns; where not, texts are encoded once and never again."""
        return True

    @property
    def asks_layers(self) -> bool:
        """Whether the number of top layers that learn is to be chosen from what solved heads make of each layer."""
        return getattr(self, "layers", None) == "auto"

    def apply(self, backbone: Backbone) -> Backbone:
        """The backbone with just what is to learn requiring gradients.

        Raises:
            ModelError: the encoder's family has no layers of the kind asked for.
        """
        raise NotImplementedError


# --- balance ----------------------------------------------------------------------------------------------------------


class TaskLosses(Protocol):
    """One step's losses of each task over the global batch, into however many parts and processes it is cut.

    A call runs the batch through the network; all calls of a step draw the same dropout. Tasks that have stopped count
    as 0.
    """

    def backward(self, weights: torch.Tensor) -> torch.Tensor:
        """Leave the gradient of ``Σ weights_t · loss_t``; returns the (tasks,) losses, in nats."""

    def gradients(self, shared: Sequence[torch.nn.Parameter]) -> tuple[torch.Tensor, torch.Tensor]:
        """The (tasks,) losses, and (tasks, numbers in ``shared``) the gradient of each; what is a task's own, such as
        its head, is left with its own gradient."""

    def values(self) -> torch.Tensor:
        """The (tasks,) losses, without gradients."""


class Balancer(Protocol):
    """What a kind of ``balance`` does during one training; ``state`` goes into the checkpoint."""

    state: dict[str, torch.Tensor]

    def backward(
        self, losses: TaskLosses, shared_parameters: Sequence[torch.nn.Parameter], progress: float
    ) -> torch.Tensor:
        """Leave the gradients of the step; returns the (tasks,) losses. ``progress``: in [0, 1] of the run."""

    def after_step(self, losses: TaskLosses) -> None:
        """Look at the losses of the same batch once the weights have moved."""


class Balance(Settings):
    """How the losses of several tasks become one gradient."""

    kind: str

    def start(self, tasks: int) -> Balancer:
        """A fresh balancer for a training of so many tasks."""
        raise NotImplementedError


# --- export -----------------------------------------------------------------------------------------------------------


class Export(Settings):
    """A model in another shape."""

    kind: str
    answers: ClassVar[bool] = True  # by itself, from the folder that it is written to

    def write(self, model: Model, folder: Path) -> None:
        """Write ``model`` to ``folder``, which is there.

        Raises:
            ModelError: the model cannot be had in this shape.
        """
        raise NotImplementedError

    def load(self, folder: Path) -> Model:
        """What ``write`` wrote and ``model.json`` names as of this kind, ready to answer."""
        raise NotImplementedError
