"""What ``nlptl check`` finds in data that is quickly read: the errors that a run would meet there, and the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Quarantine, Task
from nlptl.data._read import reasons
from nlptl.transfer.match import SHOWN
from nlptl.transfer.rows import every_turn, read_apart, tasks_of
from nlptl.transfer.words import normalise

if TYPE_CHECKING:
    from datasets import Dataset

    from nlptl.recipe import Recipe
    from nlptl.transfer.plan import Turn

LABELS = 4
"""Labels whose share is shown, the most frequent first."""


def found_rows(recipe: Recipe) -> Iterator[str]:
    """Lines: how many rows there are, how many are refused and why, and by domain what they are.

    Raises:
        RecipeError, DataError: what a run would raise before it encodes a text, but for leaks.
    """
    quarantine = Quarantine()
    dataset, odd = read_apart(recipe, quarantine)
    tasks = tasks_of(dataset, recipe.heads)
    turns = [turn for seed, turn in every_turn(recipe, dataset, tasks) if seed == recipe.seed]
    apart = f", {len(odd):,} more are anomalies to be told apart" if odd is not None else ""
    yield f"  rows: {len(dataset):,}{apart}; {copies(dataset):,} repeat the text of an earlier one"
    if len(quarantine):
        yield f"  rejected: {len(quarantine):,}. {reasons(quarantine.rejections)}"
    yield from aligned(_by_domain(dataset, tasks, turns))


def copies(dataset: Dataset) -> int:
    """Rows whose text (and second text) an earlier one has, but for case, spacing and punctuation."""
    columns = dataset[:]
    texts = zip(columns["text"], columns.get("text_pair", [""] * len(dataset)), strict=True)
    return len(dataset) - len({(normalise(text), normalise(pair)) for text, pair in texts})


def _by_domain(dataset: Dataset, tasks: Mapping[str, Task], turns: Sequence[Turn]) -> Iterator[tuple[str, ...]]:
    """The table's rows: domain, rows, those that some turn scores, and by task labelled rows and shares of labels."""
    columns = dataset[:]
    domains = np.array(columns["domain"], dtype=object)
    scored = np.zeros(len(domains), dtype=bool)
    scored[np.concatenate([turn.score for turn in turns])] = True
    encoded = {name: task.encode(columns[name]) for name, task in tasks.items()}
    yield "domain", "rows", "scored", *(part for name in tasks for part in ("labelled", name))
    names = sorted(set(domains))
    for domain in names[:SHOWN]:
        here = domains == domain
        cells = (part for name, task in tasks.items() for part in _labels(task, encoded[name][here]))
        yield domain, f"{here.sum():,}", f"{(here & scored).sum():,}", *cells
    if len(names) > SHOWN:
        yield (f"and {len(names) - SHOWN} more",)


def _labels(task: Task, encoded: Any) -> tuple[str, str]:
    """(labelled rows, shares of the labels among them)."""
    known = encoded[task.labelled(encoded)]
    if not len(known):
        return "0", "–"
    counts = known.sum(axis=0) if known.ndim == 2 else np.bincount(known, minlength=len(task.labels))
    order = [place for place in np.argsort(-counts, kind="stable") if counts[place]]
    shown = ", ".join(f"{task.labels[place]} {counts[place] / len(known):.0%}" for place in order[:LABELS])
    return f"{len(known):,}", shown + (f" and {len(order) - LABELS} more" if len(order) > LABELS else "")


def aligned(rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    """The rows as lines with columns under one another, numbers to the right."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*(row for row in table if len(row) > 1), strict=True)]
    for row in table:
        cells = (
            cell.rjust(width) if cell.replace(",", "").isdigit() and place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        yield f"    {'  '.join(cells)}".rstrip()
