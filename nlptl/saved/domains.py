"""What single domains add to a saved model's shared heads: applied, kept, and fitted for one more domain."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nlptl.contracts import Floats, Task
from nlptl.data._cells import Refused, as_label, as_labels
from nlptl.errors import DataError, ModelError
from nlptl.heads._domains import Deviations, GroupedRows, Spread, deviate
from nlptl.heads._scaling import Array, Scaling

if TYPE_CHECKING:
    from nlptl.saved import Model

METADATA = "nlptl.domains"
"""Key in ``heads.safetensors`` of the domains' names and spreads: names may hold anything, and one file is replaced
whole or not at all."""


@dataclass(frozen=True)
class DomainHeads:
    """One task's per-domain heads, as deviations from the shared one (``nlptl.heads._domains``).

    Attributes:
        spread: τ and σ, which a domain added later is drawn towards the shared head with.
        scaling: of the vectors before they meet the deviations.
        names: of the domains, in the deviations' order.
    """

    spread: Spread
    scaling: Scaling
    names: tuple[str, ...]
    deviations: Deviations

    def logits(self, vectors: Floats, domains: Sequence[str | None]) -> Array:
        """(rows, outputs): what each row's domain adds to the shared head's logits; 0 for domains without a head."""
        index = {name: place for place, name in enumerate(self.names)}
        place = np.array([-1 if domain is None else index.get(domain, -1) for domain in domains], dtype=np.int64)
        added = np.zeros((len(place), self.deviations.bias.shape[1]))
        for here in np.unique(place[place >= 0]):
            rows = np.flatnonzero(place == here)
            added[rows] = self.scaling(vectors[rows]) @ self.deviations.weights[here] + self.deviations.bias[here]
        return added

    def joined(self, names: Sequence[str], deviations: Deviations) -> DomainHeads:
        """With ``names`` added, or put in the place of those of the same name."""
        kept = [place for place, name in enumerate(self.names) if name not in names]
        own = self.deviations
        return replace(
            self,
            names=(*(self.names[place] for place in kept), *names),
            deviations=Deviations(
                np.concatenate([own.weights[kept], deviations.weights]),
                np.concatenate([own.bias[kept], deviations.bias]),
            ),
        )


def pack(heads: Mapping[str, DomainHeads]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata for a safetensors file."""
    tensors: dict[str, torch.Tensor] = {}
    described = {}
    for task, of_task in heads.items():
        tensors[f"domain_weights/{task}"] = torch.from_numpy(of_task.deviations.weights)
        tensors[f"domain_bias/{task}"] = torch.from_numpy(of_task.deviations.bias)
        tensors[f"domain_centre/{task}"] = torch.from_numpy(of_task.scaling.centre)
        described[task] = {
            "names": of_task.names,
            "tau": of_task.spread.weights,
            "sigma": of_task.spread.intercept,
            "scale": of_task.scaling.scale,
        }
    return tensors, {METADATA: json.dumps(described, ensure_ascii=False)} if described else {}


def unpack(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None) -> dict[str, DomainHeads]:
    """What ``pack`` made, by task."""
    described = json.loads((metadata or {}).get(METADATA, "{}"))
    return {
        task: DomainHeads(
            Spread(facts["tau"], facts["sigma"]),
            Scaling(tensors[f"domain_centre/{task}"].numpy(), facts["scale"]),
            tuple(facts["names"]),
            Deviations(tensors[f"domain_weights/{task}"].numpy(), tensors[f"domain_bias/{task}"].numpy()),
        )
        for task, facts in described.items()
    }


def by_task(model: Model, labels: Sequence[Any] | Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The labels by task, made as in training: 1 is "1", NaN is no label, "a,b" are two of a multilabel task. Bare ones
    are those of the one task that has per-domain heads.

    Raises:
        DataError: there are several such tasks, or a label is no name.
    """
    if not isinstance(labels, Mapping):
        if len(model.domain_heads) > 1:
            raise DataError(f"name the task that the labels are of: {{{', '.join(model.domain_heads)}: labels}}.")
        labels = dict.fromkeys(model.domain_heads, labels)
    tasks = model.tasks
    return {name: _named(tasks[name], values) if name in tasks else list(values) for name, values in labels.items()}


def _named(task: Task, values: Iterable[Any]) -> list[Any]:
    """Labels as their names, None for unlabelled rows."""
    made: list[Any] = []
    for place, value in enumerate(values):
        try:
            several = task.head.multilabel
            made.append(as_labels(value, task.head.separator, None) if several else as_label(value, None))
        except Refused as why:
            raise DataError(
                f"label {place} of task {task.name!r} is {value!r} ({why}); give its name, or None for none."
            ) from None
    return made


def fit_domains(
    model: Model,
    domains: Sequence[str],
    texts: Sequence[str],
    labels: Mapping[str, Sequence[Any]],
    text_pair: Sequence[str] | None,
    *,
    replace_old: bool,
) -> dict[str, DomainHeads]:
    """``model``'s per-domain heads, with those of the domains of the rows given.

    Args:
        domains: of each row.
        labels: by task; None for a row without a label.

    Raises:
        ModelError: the model has no per-domain heads, or one of such a domain already.
        DataError: a label is unknown, a task has no per-domain head, or a domain has no labelled row.
    """
    _check(model, domains, labels, replace_old=replace_old)
    vectors, shared = model.shared_logits(texts, text_pair)
    fitted = dict(model.domain_heads)
    found: set[str] = set()
    for name, values in labels.items():
        task, heads = model.tasks[name], fitted[name]
        encoded = task.encode(values)
        rows = np.flatnonzero(task.labelled(encoded))
        of_row = np.array(domains, dtype=object)[rows]
        names = list(dict.fromkeys(of_row))
        found |= set(names)
        grouped = GroupedRows(
            heads.scaling(vectors[name][rows]), task.targets(encoded[rows]),
            np.asarray(shared[name][rows], dtype=np.float64),
            [np.flatnonzero(of_row == each) for each in names], task.link,
        )  # fmt: skip
        fitted[name] = heads.joined(names, deviate(grouped, heads.spread))
    if unlabelled := sorted(set(domains) - found):
        raise DataError(f"domain {unlabelled[0]!r} has no labelled row; without labels the shared head serves it.")
    return fitted


def _check(model: Model, domains: Sequence[str], labels: Mapping[str, Sequence[Any]], *, replace_old: bool) -> None:
    if not model.domain_heads:
        raise ModelError(
            "this model has no per-domain heads to add one to; run its recipe again with heads.<task>.per: domain."
        )
    for name, values in labels.items():
        if name not in model.domain_heads:
            raise DataError(f"task {name!r} has no per-domain head; those with one: {', '.join(model.domain_heads)}.")
        if len(values) != len(domains):
            raise DataError(f"{len(values)} labels of task {name!r} for {len(domains)} texts; give one a text.")
    there = sorted(set(domains) & set(model.domains))
    if there and not replace_old:
        raise ModelError(f"domain {there[0]!r} has a head already; to fit it anew, say replace (--replace).")
