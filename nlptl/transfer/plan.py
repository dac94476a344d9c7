"""The plan: which rows teach, which are scored, and which may be read without their labels.

The scored rows of a domain are fixed first, from ids, times and official splits alone; nothing that a recipe says about
sources, protocol or target labels moves them. Everything else follows from what is left.

Official splits (column ``split``): rows of ``unlabelled`` lend their texts, never their labels; rows of ``validation``
never teach and are never scored. With ``hold_out: null`` rows of ``test`` are only ever scored: they teach no turn, not
even where their domain is a mere source, so that no result rests on another benchmark's test rows. A ``hold_out`` share
sets the line between train and test aside, for all domains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nlptl.contracts import Ints, Task
from nlptl.errors import DataError, RecipeError, nearest
from nlptl.recipe import Transfer
from nlptl.transfer.apart import apart_groups, may_mix
from nlptl.transfer.draw import first_of_each, keyed
from nlptl.transfer.labels import labels_differ
from nlptl.transfer.match import listed, match

if TYPE_CHECKING:
    from datasets import Dataset

Mask = npt.NDArray[np.bool_]

SPLITS = ("train", "validation", "test", "unlabelled")
DEFAULT_HOLD_OUT = 0.2
"""Scored share of a domain without an official test split, where the recipe names none."""


@dataclass(frozen=True, eq=False)
class Turn:
    """One model's share of the plan. Arrays hold ascending row numbers of the dataset."""

    name: str
    """``all`` for one model for all targets, else the one target's name."""
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    teach: Ints
    """Rows whose labels teach; each has a label for at least one task."""
    validate: Ints
    """Labelled rows of the official validation split, for choosing the epoch; never scored."""
    score: Ints
    """Scored rows of the targets; each has a label for at least one task."""
    unlabelled: Ints
    """Rows whose texts may be read without labels: the targets' other part (those that teach included), sources' rows
    without labels, those of domains in between, and the held-out rows where the recipe is transductive or none of
    them has a label to be scored by."""
    labels_of_target: int
    """How many of the rows that teach are a target's."""
    unscorable: int
    """Held-out rows that have no label and so cannot be scored."""

    def __repr__(self) -> str:
        return (
            f"Turn({self.name!r}: {listed(self.sources) or 'no source'} → {listed(self.targets)}; "
            f"{len(self.teach)} rows teach ({self.labels_of_target} of the target), {len(self.validate)} validate, "
            f"{len(self.unlabelled)} unlabelled, {len(self.score)} scored)"
        )


def plan(
    dataset: Dataset,
    transfer: Transfer,
    tasks: Mapping[str, Task],
    *,
    sample: int | None,
    seed: int,
    blind: bool = False,
) -> list[Turn]:
    """Who teaches whom: one turn for all targets, or one turn a target where the protocol is ``leave_one_out``.

    Args:
        dataset: columns ``id`` (unique), ``domain``, one a task (null: no label), and where there are any ``time``
            (larger is later) and ``split``.
        transfer: the recipe's section; ``source`` and ``target`` may overlap, and a domain that is both follows the
            rules of a target.
        tasks: the label sets by name.
        sample: at most so many rows a domain, drawn before anything else and without a look at labels.
        seed: of all draws.
        blind: rows need not have labels that teach or are scored; for those who only look.

    ``target_labels: k`` draws k rows for each class of each task in each target; a drawn row teaches all its labels, so
    a class may show more than k where a row has several.

    Raises:
        RecipeError: a pattern matches no domain, ``order: time`` without times, or no row would teach or be scored.
        DataError: an unknown split or label, missing times, or a task with one label only among the rows that teach.
    """
    rows = _Rows.read(dataset, tasks)
    sources = match(transfer.source, rows.domains, where="transfer.source")
    targets = match(transfer.target, rows.domains, where="transfer.target")
    transfer = transfer.model_copy(update={"apart": apart_groups(transfer, rows.domains)})
    drawn = _sampled(rows, sample, seed)
    held_out = _held_out(rows, transfer, drawn & rows.of(targets), seed)
    fixed = _Fixed(rows, transfer, drawn, held_out, seed, blind)
    if transfer.protocol == "joint":
        return [_turn(fixed, name="all", sources=may_mix(transfer, sources, targets), targets=targets)]
    others = {target: tuple(source for source in sources if source != target) for target in targets}
    return [
        _turn(fixed, name=target, sources=may_mix(transfer, others[target], (target,)), targets=(target,))
        for target in targets
    ]


@dataclass(frozen=True, eq=False)
class _Rows:
    """What the plan looks at, as arrays: (rows,) each."""

    ids: list[str]
    domain: Ints
    domains: list[str]
    split: npt.NDArray[np.object_]
    time: npt.NDArray[np.float64] | None
    labels: dict[str, npt.NDArray[Any]]
    tasks: Mapping[str, Task]
    labelled: Mask

    @classmethod
    def read(cls, dataset: Dataset, tasks: Mapping[str, Task]) -> _Rows:
        wanted = [name for name in ("id", "domain", "split", "time", *tasks) if name in dataset.column_names]
        columns: dict[str, list[Any]] = dataset.with_format(None).select_columns(wanted)[:]
        domain, domains = pd.factorize(np.array(columns["domain"], dtype=object), sort=True)
        splits = columns.get("split") or [None] * len(domain)
        split = np.array([value or "train" for value in splits], dtype=object)
        for unknown in sorted(set(split) - set(SPLITS)):
            raise DataError(f"split {unknown!r} is none of {', '.join(SPLITS)}{nearest(unknown, SPLITS)}")
        labels = {name: task.encode(columns[name]) for name, task in tasks.items()}
        labelled = np.zeros(len(domain), dtype=bool)
        for name, task in tasks.items():
            labelled |= task.labelled(labels[name])
        time = np.array(columns["time"], dtype=np.float64) if "time" in columns else None
        return cls(columns["id"], domain.astype(np.int64), list(domains), split, time, labels, tasks, labelled)

    def of(self, names: tuple[str, ...]) -> Mask:
        """Which rows are of the domains ``names``."""
        return np.isin(self.domains, names)[self.domain]

    def hashes(self, purpose: str, seed: int, where: Mask) -> npt.NDArray[np.uint64]:
        """Keyed hashes of the rows in ``where``; 0 elsewhere."""
        values = np.zeros(len(self.ids), dtype=np.uint64)
        rows = np.flatnonzero(where)
        values[rows] = keyed((self.ids[row] for row in rows), seed=seed, purpose=purpose)
        return values


@dataclass(frozen=True, eq=False)
class _Fixed:
    """What is settled before any turn."""

    rows: _Rows
    transfer: Transfer
    drawn: Mask
    held_out: Mask
    seed: int
    blind: bool


def _sampled(rows: _Rows, sample: int | None, seed: int) -> Mask:
    everything = np.ones(len(rows.ids), dtype=bool)
    if sample is None:
        return everything
    quota = np.full(len(rows.domains), sample)
    return first_of_each(rows.domain, quota, rows.hashes("sample", seed, everything))


def _held_out(rows: _Rows, transfer: Transfer, candidates: Mask, seed: int) -> Mask:
    """The rows of ``candidates`` (drawn rows of targets) that are held out for scoring, labelled or not."""
    test: Mask = rows.split == "test"
    official = np.zeros(len(rows.domains), dtype=bool)
    if transfer.hold_out is None:
        # Asked of all rows, not of the sample: a thin sample must not turn an official split into a random one.
        official[rows.domain[test]] = True
    may = candidates & ~official[rows.domain] & (test | (rows.split == "train"))
    groups = np.where(may, rows.domain, -1)
    share = DEFAULT_HOLD_OUT if transfer.hold_out is None else transfer.hold_out
    sizes = np.bincount(rows.domain[may], minlength=len(rows.domains))
    quota = np.maximum(1, np.rint(share * sizes)).astype(np.int64)
    keys: list[npt.NDArray[Any]] = [rows.hashes("hold_out", seed, may)]
    if transfer.order == "time":
        keys.insert(0, -_times(rows, may))
    return first_of_each(groups, quota, *keys) | (candidates & test & official[rows.domain])


def _times(rows: _Rows, needed: Mask) -> npt.NDArray[np.float64]:
    if rows.time is None:
        raise RecipeError("transfer.order: time needs times; name their column in data.time, or set order: random.")
    if missing := int(np.isnan(rows.time[needed]).sum()):
        raise DataError(
            f"{missing} rows of the targets have no time, which transfer.order: time needs; set order: random."
        )
    return rows.time


def _shown(fixed: _Fixed, other: Mask) -> Mask:
    """The rows of ``other`` (targets' rows not held out) whose labels teach."""
    rows, wanted = fixed.rows, fixed.transfer.target_labels
    if wanted == "all":
        return other & rows.labelled
    shown = np.zeros(len(other), dtype=bool)
    if wanted == 0:
        return shown
    hashes = rows.hashes("target_labels", fixed.seed, other & rows.labelled)
    for classes in _classes(rows.labels):
        count = int(classes.max(initial=0)) + 1
        groups = np.where(other & (classes >= 0), rows.domain * count + classes, -1)
        shown |= first_of_each(groups, np.full(len(rows.domains) * count, wanted), hashes)
    return shown


def _classes(labels: Mapping[str, npt.NDArray[Any]]) -> Iterator[Ints]:
    """(rows,) class of each row, or −1, for each task; for each label by itself where a task is multilabel."""
    for encoded in labels.values():
        if encoded.ndim == 1:
            yield encoded
        else:
            yield from (np.where(column == 1, 0, -1) for column in encoded.T)


def _turn(fixed: _Fixed, *, name: str, sources: tuple[str, ...], targets: tuple[str, ...]) -> Turn:
    rows, transfer = fixed.rows, fixed.transfer
    target = fixed.drawn & rows.of(targets)
    source = fixed.drawn & rows.of(sources) & ~target
    held_out = fixed.held_out & target
    teachable = rows.split == "train"
    if transfer.hold_out is not None:
        teachable |= rows.split == "test"
    shown = _shown(fixed, target & ~held_out & teachable)
    teach = shown | (source & teachable & rows.labelled)
    seen = source | target if transfer.target_labels == "all" else source
    validate = seen & (rows.split == "validation") & rows.labelled
    score = held_out & rows.labelled
    unlabelled = target & ~held_out & ~validate
    unlabelled |= source & ((rows.split == "unlabelled") | (teachable & ~rows.labelled))
    if transfer.through:
        between = may_mix(transfer, match(transfer.through, rows.domains, where="transfer.through"), targets)
        unlabelled |= fixed.drawn & rows.of(between) & ~source & ~target & (teachable | (rows.split == "unlabelled"))
    if transfer.transductive or not score.any():  # where nothing is scored, no text has to be held back
        unlabelled |= held_out
    if not fixed.blind:
        _check(name, targets, rows, target, teach, score)
    return Turn(
        name=name, sources=sources, targets=targets, teach=places(teach), validate=places(validate),
        score=places(score), unlabelled=places(unlabelled), labels_of_target=int(shown.sum()),
        unscorable=int((held_out & ~rows.labelled).sum()),
    )  # fmt: skip


def places(mask: Mask) -> Ints:
    """The row numbers where ``mask`` is true, ascending."""
    return np.flatnonzero(mask).astype(np.int64)


def _check(name: str, targets: tuple[str, ...], rows: _Rows, target: Mask, teach: Mask, score: Mask) -> None:
    if not score.any() and (target & rows.labelled).any():
        raise RecipeError(
            f"turn {name!r} has labelled rows in {listed(targets)} and holds none of them out to be scored; raise "
            "transfer.hold_out or data.sample."
        )
    if not teach.any() and any(task.head.needs_labels for task in rows.tasks.values()):
        raise RecipeError(
            f"turn {name!r} has no labelled row that may teach; name labelled domains in transfer.source, "
            "or set transfer.target_labels above 0 and transfer.hold_out below 1."
        )
    labels_differ(name, rows.tasks, rows.labels, places(teach))
