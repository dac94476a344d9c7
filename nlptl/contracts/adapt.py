"""What a kind of the room ``adapt`` must offer, and what it is shown of a training step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy.typing as npt
from pydantic import Field

from nlptl.contracts import Floats, Ints, Task
from nlptl.registry import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from nlptl.encoder.backbone import Backbone


class Adapt(Settings):
    """A way to close the gap between the domains that teach and those that are served."""

    kind: str


class Guess(Protocol):
    """Teaches an encoder to guess masked tokens of the target's unlabelled texts, in place, on all processes."""

    def __call__(
        self, head: nn.Module, *, rate: float, epochs: int, max_steps: int | None, lr: float
    ) -> Sequence[float]:
        """The mean loss of a guess at each step, in nats.

        Args:
            head: (tokens, width) vectors → (tokens, vocabulary) logits; it learns too.
            rate: share of the tokens to be guessed.
        """


@dataclass(frozen=True)
class Context:
    """What a step before the heads are solved is handed.

    Attributes:
        backbone: the encoder; what is to learn in it requires gradients.
        texts: how many unlabelled texts of the target there are.
        guess: trains it on them.
    """

    backbone: Backbone
    texts: int
    guess: Guess


class Before(Adapt):
    """A way to adapt the encoder to the target's texts before the heads are solved."""

    @property
    def comes_first(self) -> bool:
        """Whether the encoder learns before the heads are solved; if not, ``before`` only says what is to come."""
        return True

    def before(self, context: Context) -> str:
        """Teach the encoder, in place; returns what was done, in words."""
        raise NotImplementedError


@dataclass(frozen=True)
class Answers:
    """One task's answers, for what is corrected after training.

    Attributes:
        source: (rows, outputs) logits of rows that teach, each by the fold that had not seen it.
        labels: (rows,) their classes.
        target: (rows, outputs) logits of the target's unlabelled rows.
        domains: (rows,) whose each row that teaches is, where no fold's head had seen its domain; else None.
    """

    task: Task
    source: Floats
    labels: Ints
    target: Floats
    domains: npt.NDArray[Any] | None = None


class Term(Adapt):
    """A term of the training loss between a batch of labelled rows and one of unlabelled rows of the target."""

    moves: ClassVar[Literal["features", "logits"]] = "features"
    """What must learn for the term to have a gradient: the vectors that a head's last layer reads, or any of its
    weights."""

    compares: ClassVar[bool] = True
    """Whether the term looks at rows that teach too, or at the target's alone: then those are not run for it."""

    exclusive: ClassVar[bool] = False
    """Whether the term is defined for labels that exclude one another only."""

    weight: float = Field(1.0, ge=0, description="What the term is multiplied by.")
    schedule: Literal["constant", "ramp"] = Field(
        "constant", description="ramp: the weight rises from 0 as 2 / (1 + exp(−10 p)) − 1 with progress p."
    )

    def strength(self, progress: float) -> float:
        """The weight at ``progress`` in [0, 1] of the training (the ramp: Ganin et al. 2016, section 5.2.2)."""
        return self.weight * (ramp(progress) if self.schedule == "ramp" else 1.0)

    @property
    def keeps(self) -> float | None:
        """Where the term asks a teacher, whose weights follow the model's: the share of them that stays at a step."""
        return None

    def factor(self, progress: float) -> float:
        """What ``loss`` is multiplied by in the sum."""
        return self.strength(progress)

    def layers(self, width: int, labels: int) -> nn.Module | None:
        """Layers of the term's own that learn beside the network, if it has any.

        Args:
            width: of the features.
            labels: of the task.
        """
        return None

    def loss(self, step: Step, layers: nn.Module | None) -> Tensor:
        """The term as a scalar, in the units that its kind states; a pure function of what it is given."""
        raise NotImplementedError


def ramp(progress: float) -> float:
    """2 / (1 + exp(−10 p)) − 1: from 0 at p = 0 to nearly 1 from p = 0.5 on (Ganin et al. 2016)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


@dataclass(frozen=True)
class View:
    """One side's rows of a step, of all processes together.

    Attributes:
        features: (rows, width) what the head's last layer reads.
        logits: (rows, outputs).
        probabilities: (rows, labels).
        labels: (rows,) class indices; −1 where there is none, as for every row of the target's side.
        teacher: (rows, labels) probabilities by the moving average of the weights, where a term asks for them.
    """

    features: Tensor
    logits: Tensor
    probabilities: Tensor
    labels: Tensor
    teacher: Tensor | None = None

    def none(self) -> View:
        """The same of no rows."""
        return View(self.features[:0], self.logits[:0], self.probabilities[:0], self.labels[:0])


@dataclass(frozen=True)
class Step:
    """What a term is shown: rows that teach (none, where no term compares), as many rows of the target, and
    ``progress`` in [0, 1] of the training."""

    source: View
    target: View
    progress: float
