"""Encoder and heads as one network, and the examples it learns from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nlptl.contracts import Floats, Ints, Task
from nlptl.contracts.texts import TextScores
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import LOOSE_MULTIPLE, TokenBatch, Tokens
from nlptl.heads._mix import LayerMix
from nlptl.heads._reading import every_layer, mixed_layers, parts
from nlptl.heads._solve import row_losses
from nlptl.heads._solved import LinearWeights
from nlptl.model.objective import Objective, divergence
from nlptl.model.views import CutView, Partners, cut_features, jensen_shannon, mixed, shares_of_task, whole_or_cut


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
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    """By task: (rows,) how much each row's loss counts; tasks may be absent, whose rows count 1 each."""
    cut: CutView | None = None
    partners: Partners | None = None

    def emptied(self) -> Batch:
        """No row, of which the network makes no loss, but that its body is run: for a process without a share."""

        def none(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {task: column[:0] for task, column in columns.items()}

        return replace(
            self, targets=none(self.targets), labelled=none(self.labelled), offsets=none(self.offsets),
            weights=none(self.weights), partners=self.partners and self.partners.emptied(),
        )  # fmt: skip


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
        weights: by task (rows,) how much each row's loss counts.
    """

    ids: Sequence[str]
    tasks: Mapping[str, Task]
    labels: Mapping[str, npt.NDArray[Any]]
    lengths: Ints
    tokens: Tokens | None = None
    readings: Mapping[str, Floats] | None = None
    offsets: Mapping[str, Floats] = field(default_factory=dict)
    weights: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows: Ints, device: torch.device) -> Batch:
        """The rows at positions ``rows`` as tensors on ``device``."""

        def tensors(columns: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
            return {name: torch.as_tensor(column[rows], dtype=dtype).to(device) for name, column in columns.items()}

        labels = {name: encoded[rows] for name, encoded in self.labels.items()}
        return Batch(
            tokens=None if self.tokens is None else self.tokens.batch(rows, device, multiple=LOOSE_MULTIPLE),
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
            weights=tensors(self.weights, torch.float32),
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
        layers = mixed_layers(reading)
        if layers:
            return cls(task, reading, _behind_mix(layers, task.head.build(width, task.outputs)))
        return cls(task, reading, task.head.build(width * len(parts([reading])), task.outputs))

    def mixing(self, depth: int) -> TaskHead:
        """This head over a learned mix of all layers of an encoder so deep; it starts as their mean."""
        return TaskHead(self.task, "+".join(every_layer(depth)), _behind_mix(depth + 1, self.net))

    @classmethod
    def solved(cls, task: Task, solved: LinearWeights) -> TaskHead:
        """A solved linear head, as it is: to answer with, or to start fine-tuning from (linear probing, then
        fine-tuning: Kumar et al. 2022, arXiv 2202.10054)."""
        net = nn.Linear(*solved.weights.shape)
        with torch.no_grad():
            net.weight.copy_(torch.from_numpy(solved.weights.T))
            net.bias.copy_(torch.from_numpy(solved.bias))
        return cls(task, solved.reading, net)

    def forward(self, readings: Mapping[str, Tensor]) -> Tensor:
        """(rows, outputs) logits from the reading that this head reads."""
        return self.last_layer(readings)[1]

    def last_layer(self, readings: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(rows, width) features that this head's last layer reads, and its (rows, outputs) logits.

        Logits are in float32. Under mixed precision the layer gives them in the lower one, in which a processor would
        compute the loss too, and lose that of rows that are nearly sure.
        """
        features = torch.cat([readings[part].float() for part in self.reading.split("+")], dim=1)
        last = self.net
        if isinstance(last, nn.Sequential):
            features, last = last[:-1](features), last[-1]
        return features, last(features).float()

    @property
    def device(self) -> torch.device:
        """Where it computes: solved heads stay on the processor, those of a trained network go where its body is."""
        return next(chain(self.parameters(), self.buffers())).device

    @property
    def last(self) -> nn.Linear:
        """Its last layer, where that is a linear map."""
        last = self.net[-1] if isinstance(self.net, nn.Sequential) else self.net
        assert isinstance(last, nn.Linear)
        return last


class ByTask(nn.ModuleDict):
    """Modules by task, whatever the task is called: ``nn.ModuleDict`` refuses names of its own attributes, such as
    ``type`` or ``keys``, which nobody asks for as attributes here."""

    def __setitem__(self, key: str, module: nn.Module) -> None:
        self._modules[key] = module


class Network(nn.Module):
    """The encoder with a head for each task."""

    def __init__(
        self, backbone: Backbone, heads: Mapping[str, TaskHead], text_scores: Mapping[str, TextScores] | None = None
    ) -> None:
        super().__init__()
        self.text_scores = dict(text_scores or {})
        """By task whose head reads texts itself, what it reads them with."""
        self.backbone = backbone
        self.heads = ByTask(heads)
        self.objective = Objective()
        """What training minimises; the loss is the plain one whenever the network is not in training."""

    @property
    def readings(self) -> tuple[str, ...]:
        """What the heads read of the encoder."""
        return parts(head.reading for name, head in self.task_heads.items() if name not in self.text_scores)

    @property
    def task_heads(self) -> dict[str, TaskHead]:
        """The heads by task."""
        return {name: head for name, head in self.heads.items() if isinstance(head, TaskHead)}

    def own_parameters(self) -> list[nn.Parameter]:
        """What single tasks do not share."""
        return list(self.heads.parameters())

    def last_layers(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """By task: (rows, width) features that the head's last layer reads, and (rows, outputs) logits, offsets
        included."""
        readings = self._read(batch)
        found = {name: head.last_layer(readings) for name, head in self.task_heads.items()}
        return {name: (x, z + batch.offsets[name] if name in batch.offsets else z) for name, (x, z) in found.items()}

    def losses(self, batch: Batch, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By task: the losses of its labelled rows, in nats; an empty tensor where no row has a label."""
        found = {
            name: self._row_losses(head.task, logits[name], batch.targets[name])
            for name, head in self.task_heads.items()
        }
        weighed = {name: z * batch.weights[name] if name in batch.weights else z for name, z in found.items()}
        return {name: losses[batch.labelled[name]] for name, losses in weighed.items()}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """By task: the losses of its labelled rows, in nats; an empty tensor where no row has a label."""
        if batch.partners is not None:
            return self._mixed_losses(batch, batch.partners)
        first = {name: logits for name, (_, logits) in self.last_layers(batch).items()}
        losses = self.losses(batch, first)
        if batch.cut is not None:
            return self._with_cut(batch, batch.cut, first, losses)
        if not (self.training and self.objective.r_drop):
            return losses
        second = {name: logits for name, (_, logits) in self.last_layers(batch).items()}
        other = self.losses(batch, second)
        return {
            name: (losses[name] + other[name]) / 2
            + self.objective.r_drop / 2 * divergence(first[name], second[name], task.link)[batch.labelled[name]]
            for name, task in ((name, head.task) for name, head in self.task_heads.items())
        }

    def _read(self, batch: Batch) -> Mapping[str, Tensor]:
        """The readings of the batch's rows."""
        readings = batch.readings
        if readings is None:
            assert batch.tokens is not None
            readings = self.backbone(batch.tokens, self.readings)
        rows = len(next(iter(batch.targets.values())))
        return {name: vectors[:rows] for name, vectors in readings.items()}

    def _with_cut(
        self, batch: Batch, view: CutView, first: Mapping[str, Tensor], losses: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        with cut_features(self.backbone.body, view.cut):
            second = {name: z for name, (_, z) in self.last_layers(whole_or_cut(batch, view.cut)).items()}
        other = self.losses(batch, second)
        return {
            name: view.way.total(
                losses[name],
                other[name],
                jensen_shannon(first[name], second[name], head.task.link)[batch.labelled[name]],
            )
            for name, head in self.task_heads.items()
        }

    def _mixed_losses(self, batch: Batch, partners: Partners) -> dict[str, Tensor]:
        readings = self._read(batch)
        others = {part: partners.everyone(vectors)[partners.places] for part, vectors in readings.items()}
        losses = {}
        for name, head in self.task_heads.items():
            share = shares_of_task(partners, batch.labelled, name)
            logits = head({part: mixed(vectors, others[part], share) for part, vectors in readings.items()})
            if name in batch.offsets:
                logits = logits + mixed(batch.offsets[name], partners.batch.offsets[name], share)
            total = torch.zeros_like(share)
            for side, counts in ((batch, share), (partners.batch, 1 - share)):
                own = self._row_losses(head.task, logits, side.targets[name])
                total = total + counts * own * side.weights.get(name, torch.ones_like(share))
            losses[name] = total[batch.labelled[name]]
        return losses

    def _row_losses(self, task: Task, logits: Tensor, targets: Tensor) -> Tensor:
        if self.training and self.objective != Objective():
            return self.objective.row_losses(task.name, logits, targets, task.link)
        return row_losses(logits, targets, task.link)


def _behind_mix(layers: int, net: nn.Module) -> nn.Sequential:
    return nn.Sequential(LayerMix(layers), *(net if isinstance(net, nn.Sequential) else [net]))
