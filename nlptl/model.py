"""Encoder and heads as one network, and the examples it learns from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nlptl.contracts import Floats, Ints, Task
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import TokenBatch, Tokens
from nlptl.heads._reading import parts
from nlptl.heads._solve import row_losses
from nlptl.heads._solved import Solved


@dataclass(frozen=True)
class Batch:
    """Some rows as tensors. Texts come as tokens, or as readings where the body is frozen and was run before."""

    tokens: TokenBatch | None
    readings: Mapping[str, Tensor] | None
    targets: Mapping[str, Tensor]
    """By task: (rows, outputs) of 0 and 1."""
    labelled: Mapping[str, Tensor]
    """By task: (rows,) bool."""
    offsets: Mapping[str, Tensor]
    """By task: (rows, outputs) given logits, such as those of words; tasks may be absent."""


@dataclass(frozen=True)
class Examples:
    """Rows to learn from or to validate on, on the CPU.

    Attributes:
        ids: row ids, for messages.
        tasks: the label sets.
        labels: by task, as ``Task.encode`` gives them.
        lengths: (rows,) tokens of each row.
        tokens: the texts, where the body learns.
        readings: by name (rows, width) vectors, where it does not.
        offsets: by task (rows, outputs) given logits.
    """

    ids: Sequence[str]
    tasks: Mapping[str, Task]
    labels: Mapping[str, npt.NDArray[Any]]
    lengths: Ints
    tokens: Tokens | None = None
    readings: Mapping[str, Floats] | None = None
    offsets: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows: Ints, device: torch.device) -> Batch:
        """The rows at positions ``rows`` as tensors on ``device``."""

        def tensors(columns: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
            return {name: torch.as_tensor(column[rows], dtype=dtype).to(device) for name, column in columns.items()}

        labels = {name: encoded[rows] for name, encoded in self.labels.items()}
        return Batch(
            tokens=None if self.tokens is None else self.tokens.batch(rows, device),
            readings=None if self.readings is None else tensors(self.readings, torch.float32),
            targets={
                name: torch.as_tensor(self.tasks[name].targets(encoded), dtype=torch.float32).to(device)
                for name, encoded in labels.items()
            },
            labelled={
                name: torch.from_numpy(self.tasks[name].labelled(encoded)).to(device)
                for name, encoded in labels.items()
            },
            offsets=tensors(self.offsets, torch.float32),
        )

    def labelled_counts(self, rows: Iterable[int]) -> dict[str, int]:
        """By task, how many of ``rows`` have a label."""
        rows = np.fromiter(rows, dtype=np.int64)
        return {name: int(self.tasks[name].labelled(encoded[rows]).sum()) for name, encoded in self.labels.items()}


class TaskHead(nn.Module):
    """One task's network over one reading of the encoder."""

    def __init__(self, task: Task, reading: str, net: nn.Module) -> None:
        super().__init__()
        self.task, self.reading, self.net = task, reading, net

    @classmethod
    def fresh(cls, task: Task, reading: str, width: int) -> TaskHead:
        """The head that the recipe names, with weights that are yet to be learned; ``width`` is the encoder's."""
        return cls(task, reading, task.head.build(width * len(parts([reading])), task.outputs))

    @classmethod
    def solved(cls, task: Task, solved: Solved) -> TaskHead:
        """A solved linear head, as it is: to answer with, or to start fine-tuning from (linear probing, then
        fine-tuning: Kumar et al. 2022, arXiv 2202.10054)."""
        net = nn.Linear(*solved.weights.shape)
        with torch.no_grad():
            net.weight.copy_(torch.from_numpy(solved.weights.T))
            net.bias.copy_(torch.from_numpy(solved.bias))
        return cls(task, solved.reading, net)

    def forward(self, readings: Mapping[str, Tensor]) -> Tensor:
        """(rows, outputs) logits from the reading that this head reads."""
        beside = [readings[part].float() for part in self.reading.split("+")]
        logits: Tensor = self.net(torch.cat(beside, dim=1))
        return logits


class Network(nn.Module):
    """The encoder with a head for each task."""

    def __init__(self, backbone: Backbone, heads: Mapping[str, TaskHead]) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)

    @property
    def readings(self) -> tuple[str, ...]:
        """What the heads read of the encoder."""
        return parts(head.reading for head in self.task_heads.values())

    @property
    def task_heads(self) -> dict[str, TaskHead]:
        """The heads by task."""
        return {name: head for name, head in self.heads.items() if isinstance(head, TaskHead)}

    def logits(self, batch: Batch) -> dict[str, Tensor]:
        """By task: (rows, outputs) logits, offsets included."""
        readings = batch.readings
        if readings is None:
            assert batch.tokens is not None
            readings = self.backbone(batch.tokens, self.readings)
        logits = {name: head(readings) for name, head in self.task_heads.items()}
        return {name: z + batch.offsets[name] if name in batch.offsets else z for name, z in logits.items()}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """By task: the losses of its labelled rows, in nats; an empty tensor where no row has a label."""
        return {
            name: row_losses(z, batch.targets[name], head.task.link)[batch.labelled[name]]
            for (name, head), z in zip(self.task_heads.items(), self.logits(batch).values(), strict=True)
        }
