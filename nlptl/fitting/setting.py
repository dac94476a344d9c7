"""What all turns of a run share, and the heads that a turn's training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from nlptl.contracts import Floats, Ints
from nlptl.encoder.backbone import Backbone
from nlptl.fitting.account import Account
from nlptl.fitting.clock import Clock
from nlptl.fitting.corpus import Corpus, Vectors
from nlptl.fitting.folder import RunFolder
from nlptl.fitting.weigh import Weighed
from nlptl.heads._evidence import ClosedForm
from nlptl.heads._solved import Folds, LinearWeights, Solved
from nlptl.recipe import Recipe
from nlptl.saved import Model
from nlptl.transfer.plan import Turn
from nlptl.transfer.taught import Hashes


@dataclass(frozen=True)
class Setting:
    """What all turns of a run share."""

    recipe: Recipe
    corpus: Corpus
    vectors: Vectors
    backbone: Backbone
    accelerator: Accelerator
    precision: str
    folder: RunFolder
    fingerprint: str
    resume: bool
    clock: Clock
    account: Account = field(default_factory=Account)
    earlier_heads: Mapping[str, LinearWeights] = field(default_factory=dict)
    """By task, the heads of the run that this one goes on from, where they are taken."""
    earlier_texts: Hashes | None = None
    """Of the texts that taught the run which this one goes on from, as far as there is one and it tells."""
    learned: Mapping[str, Tensor] = field(default_factory=dict)
    """Weights of the encoder's body that learned before the heads are solved, by name; ``said`` what they learned."""
    said: str = ""


@dataclass(frozen=True)
class SolvedTurn:
    """The rung below: heads solved on the frozen encoder. By task; ``heads`` are linear, ``closed`` the rest."""

    folds: Mapping[str, Folds]
    heads: Mapping[str, Solved]
    model: Model
    weights: Mapping[str, Floats] = field(default_factory=dict)
    """By task: (rows that teach it,) how much each counts; tasks are absent where all count the same."""
    closed: Mapping[str, ClosedForm] = field(default_factory=dict)
    weighed: Mapping[str, Weighed] = field(default_factory=dict)
    """By task, how the sources were weighed; empty where all weigh the same."""
    ways: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By task, the way that was taken through domains in between; empty where none was asked for."""


def teaching(corpus: Corpus, turn: Turn) -> dict[str, Ints]:
    """By task, the rows that teach it."""
    return {name: corpus.labelled(name, turn.teach) for name in corpus.tasks}
