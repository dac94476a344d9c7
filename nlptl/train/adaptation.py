"""Terms of the loss between rows that teach and the target's unlabelled rows: batches, gradients, processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from nlptl.contracts import UNLABELLED, Ints
from nlptl.contracts.adapt import Step, Term, View
from nlptl.model import Batch, ByTask, Examples, Network, TaskHead
from nlptl.train.batches import share_of
from nlptl.train.gather import gathered
from nlptl.train.guessing import Guessing

GUESSED = "tapt"
"""What the loss of guessed tokens is called beside the terms."""
MOST_ROWS = 64
"""Of a batch whose size the recipe leaves open, where texts are short or were encoded before."""


class Adaptation:
    """The terms between rows that teach and rows of the target, upon a network, and the terms' own layers.

    Their batches are drawn apart from those of the labels' loss: at random, so that the two sides differ in nothing but
    their domain (batches of similar length would differ in length), as many rows of either, whatever samples or
    balances the tasks. Every process computes the same terms from the rows of all, gathered with their gradients:
    methods on batch statistics see what one process alone would see.
    """

    def __init__(
        self,
        network: Network,
        terms: Sequence[Term],
        source: Examples,
        target: Examples,
        *,
        rows: int,
        guessing: Guessing | None = None,
    ) -> None:
        """``guessing``: masked tokens of ``target``'s texts are to be guessed beside the terms."""
        self.network, self.terms, self.source, self.target, self.rows = network, tuple(terms), source, target, rows
        self.guessing = guessing
        self.layers = nn.ModuleDict()
        for term in terms:
            found = {
                name: term.layers(head.last.in_features, len(head.task.labels))
                for name, head in network.task_heads.items()
            }
            self.layers[term.kind] = ByTask({name: layers for name, layers in found.items() if layers})
        if guessing is not None:
            self.layers[GUESSED] = guessing.head
        self.keeps = next((term.keeps for term in terms if term.keeps is not None), None)
        learning = [] if self.keeps is None else self._learning()
        self.teacher = nn.ParameterList([nn.Parameter(weights.detach().clone(), False) for weights in learning])

    def state(self) -> dict[str, nn.Parameter]:
        """What goes into a checkpoint beside the network's weights, by name."""
        named = nn.ModuleDict({"layers": self.layers, "teacher": self.teacher}).named_parameters(prefix="adapt")
        return {name: each for name, each in named if each.requires_grad or name.startswith("adapt.teacher")}

    def to(self, device: torch.device) -> None:
        """Move what is not the network's."""
        self.layers.to(device)
        self.teacher.to(device)

    def batches(self, steps: int, seed: int) -> list[tuple[Ints, Ints]]:
        """For each step the rows of either side: all of them in turn, in ever new orders."""
        source, target = (_Stream(len(side), (seed, place)) for place, side in enumerate((self.source, self.target)))
        return [(source.take(self.rows), target.take(self.rows)) for _ in range(steps)]

    def backward(
        self,
        rows: tuple[Ints, Ints],
        progress: float,
        accelerator: Accelerator,
        *,
        number: int = 0,
        labelled: int | None = None,
    ) -> dict[str, float]:
        """Add the gradient of the weighted terms to what is there; returns each term, the mean over tasks, by kind.

        Args:
            number: of the step, by which masks are drawn; ``labelled``: rows of its labels' loss, none: as many.
        """
        if self.keeps is not None:
            self._teach(self.keeps)
        total, terms = self.loss(rows, progress, accelerator) if self.terms else (torch.zeros(()), {})
        if self.guessing is not None:
            terms[GUESSED] = self.guessing.loss(rows[1], number, accelerator)
            share = self.guessing.weight * len(rows[1]) / (labelled or len(rows[1]))
            total = total.to(terms[GUESSED].device) + share * terms[GUESSED]
        learning = [*self._learning(), *(p for p in self.layers.parameters() if p.requires_grad)]
        found = torch.autograd.grad(total, learning, allow_unused=True)
        for parameter, gradient in zip(learning, found, strict=True):
            if gradient is not None:
                mean = accelerator.reduce(gradient, "mean")
                parameter.grad = mean if parameter.grad is None else parameter.grad + mean
        return {kind: float(value.detach()) for kind, value in terms.items()}

    def loss(
        self, rows: tuple[Ints, Ints], progress: float, accelerator: Accelerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the terms on the rows of all processes, and each of them by kind."""
        taught = None if self.keeps is None else self._taught(rows[1], accelerator)
        target = self._views(self.target, rows[1], accelerator)
        source = (
            self._views(self.source, rows[0], accelerator)
            if any(term.compares for term in self.terms)
            else {name: view.none() for name, view in target.items()}
        )
        if taught is not None:
            target = {name: replace(view, teacher=taught[name].probabilities) for name, view in target.items()}
        steps = {name: Step(source[name], target[name], progress) for name in self.network.heads}
        terms = {term.kind: self._term(term, steps) for term in self.terms}
        return torch.stack([term.factor(progress) * terms[term.kind] for term in self.terms]).sum(), terms

    def _learning(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def _teach(self, keeps: float) -> None:
        """The teacher's weights after one more step: ``keeps`` of them stay, the rest are the network's."""
        with torch.no_grad():
            for average, weights in zip(self.teacher, self._learning(), strict=True):
                average.lerp_(weights, 1 - keeps)

    def _taught(self, rows: Ints, accelerator: Accelerator) -> dict[str, View]:
        """What the teacher says of the target's ``rows``: the network without dropout, under the teacher's weights."""
        self._exchange()
        self.network.eval()
        with torch.no_grad():
            views = self._views(self.target, rows, accelerator)
        self.network.train()
        self._exchange()
        return views

    def _exchange(self) -> None:
        for average, weights in zip(self.teacher, self._learning(), strict=True):
            average.data, weights.data = weights.data, average.data

    def _views(self, examples: Examples, rows: Ints, accelerator: Accelerator) -> dict[str, View]:
        """By task, what ``rows`` show, of which this process runs its share."""
        own = share_of(rows, rank=accelerator.process_index, world=accelerator.num_processes)
        batch = examples.batch(own if len(own) else rows[:1], accelerator.device)
        with accelerator.autocast():
            found = self.network.last_layers(batch)
        views = {}
        for name, head in self.network.task_heads.items():
            features, logits = (gathered(part.float(), len(rows)) for part in found[name])
            labels = gathered(_labels(head, batch), len(rows))
            views[name] = View(features, logits, probabilities(head, logits), labels)
        return views

    def _term(self, term: Term, steps: Mapping[str, Step]) -> Tensor:
        own = dict(self.layers[term.kind].named_children())
        return torch.stack([term.loss(step, own.get(name)) for name, step in steps.items()]).mean()


def batch_rows(source: Ints, target: Ints, batch_tokens: int) -> int:
    """Rows of either side a batch, within ``batch_tokens`` whichever rows they are, and at most ``MOST_ROWS``.

    Args:
        source, target: (rows,) tokens of each row.
    """
    longest = max(int(source.max(initial=1)), int(target.max(initial=1)))
    return int(np.clip(batch_tokens // longest, 2, MOST_ROWS))


class _Stream:
    """Rows in permutations, one after another; the n-th is drawn from (*seed, n)."""

    def __init__(self, rows: int, seed: tuple[int, ...]) -> None:
        self.rows, self.seed, self.turn = rows, seed, 0
        self.left = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> Ints:
        while len(self.left) < count:
            drawn = np.random.default_rng((*self.seed, 2, self.turn)).permutation(self.rows)
            self.left, self.turn = np.concatenate([self.left, drawn]), self.turn + 1
        taken, self.left = self.left[:count], self.left[count:]
        return taken


def _labels(head: TaskHead, batch: Batch) -> Tensor:
    """(rows,) class indices, −1 for rows without a label."""
    targets = batch.targets[head.task.name]
    classes = targets.argmax(1) if head.task.link == "softmax" else targets[:, 0].long()
    return torch.where(batch.labelled[head.task.name], classes, UNLABELLED)


def probabilities(head: TaskHead, logits: Tensor) -> Tensor:
    """(rows, outputs) logits → (rows, labels) probabilities, as ``Task.probabilities`` gives them, with gradients."""
    if head.task.link == "softmax":
        return torch.softmax(logits, dim=1)
    positive = torch.sigmoid(logits)
    return positive if head.task.head.multilabel else torch.cat([1 - positive, positive], dim=1)
