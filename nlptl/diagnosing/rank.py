"""Candidate sources in order of what they would be worth to a target, without training or a label of the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Task
from nlptl.diagnose._source_scores import likeness, source_scores
from nlptl.diagnosing.found import Found
from nlptl.diagnosing.look import READING, Look
from nlptl.errors import DataError
from nlptl.fitting.encoders import rank_encoders
from nlptl.heads._solved import solve_head
from nlptl.heads._weighted import solve_weighted
from nlptl.recipe import Recipe
from nlptl.transfer.folds import folds

COLUMNS = ("agreement", "confusion", "score")


class Ranking(Found):
    """By target: its candidate sources, the best first."""

    def __init__(self, ranked: Mapping[str, list[dict[str, Any]]], names: Sequence[str] = ("source",)) -> None:
        super().__init__(ranked)
        self._names = tuple(names)
        scores = (name for rows in ranked.values() for name in rows[0] if name not in self._names)
        self._scores = tuple(dict.fromkeys(scores))
        self.columns = ("target", *self._names, *(name.replace("_", " ") for name in self._scores))

    def __repr__(self) -> str:
        called = {
            target: [" ".join(str(row[name]) for name in self._names) for row in rows] for target, rows in self.items()
        }
        return "; ".join(f"{target} ← {', '.join(rows)}" for target, rows in called.items())

    def cells(self) -> Iterator[tuple[str, ...]]:
        """A row a candidate, the best first."""
        for target, rows in self.items():
            for row in rows:
                yield target, *(str(row[name]) for name in self._names), *(_shown(row[name]) for name in self._scores)


def _shown(score: float | None) -> str:
    return "–" if score is None else f"{score:.3f}"


def rank_sources(recipe: Recipe) -> Ranking:
    """Order the source domains of ``recipe`` for each target, from solved heads on stored vectors.

    The texts of the target that are read should be of the kind that will be served: where its unlabelled rows come in
    other shares of labels, the order is worse. ``transfer.transductive: true`` lets the scored texts be read.

    Raises:
        DataError: fewer than two sources have rows of two labels, or no text of a target may be read.
    """
    look, reading = Look.at(recipe), READING[recipe.encoder.pool]
    ranked = {}
    for turn, target in look.targets():
        taught, own = look.sides(turn, target, most=10**6)
        labels = look.corpus.encoded[look.task.name][taught]
        domains = look.corpus.domains[taught]
        names = [str(name) for name in np.unique(domains) if len(np.unique(labels[domains == name])) > 1]
        if len(names) < 2:
            raise DataError(
                f"{target!r} has {len(names)} source with rows of two labels; name more in transfer.source."
            )
        vectors = look.vectors(np.concatenate([taught, own]), reading)
        groups = look.signatures.groups(taught, near=recipe.transfer.near)
        solved = solve_head(
            look.task, {reading: vectors.of(taught, reading)}, labels,
            folds(labels=labels, domains=domains, groups=groups, target_labels=0, seed=recipe.seed),
        )  # fmt: skip
        masks = np.stack([domains == name for name in names])
        theirs, ours = vectors.of(taught, reading), vectors.of(own, reading)
        weights, confusion = likeness(theirs, ours, masks)
        teacher, *answers = head_answers(look.task, solved, theirs, labels, np.vstack([weights, masks]), ours)
        found = source_scores(np.stack(answers), teacher) | {"confusion": confusion}
        rows = [{"source": name} | {key: float(found[key][place]) for key in COLUMNS}
                for place, name in enumerate(names)]  # fmt: skip
        ranked[target] = sorted(rows, key=lambda row: -float(row["score"]))
    return Ranking(ranked)


def rank_candidates(recipe: Recipe, models: Sequence[str]) -> Ranking:
    """Order encoders and earlier runs, at each of their readings, for what ``recipe`` teaches: by solved heads on rows
    that teach, as ``encoder.among`` does. By turn: all targets together, or each where each has its turn.

    Args:
        models: encoders as ``encoder.model`` names them, and run folders, of which body and adapter are taken.
    """
    from accelerate import Accelerator

    look, device = Look.at(recipe), Accelerator().device
    ranked = {}
    for turn in look.turns:
        groups = look.signatures.groups(turn.teach, near=recipe.transfer.near)
        ranked[turn.name] = rank_encoders(
            look.recipe, look.corpus, turn, groups, models, device=device, each_layer=True
        )
    return Ranking(ranked, ("encoder", "reading"))


def head_answers(
    task: Task, like: Any, taught: Floats, labels: npt.NDArray[Any], masks: npt.NDArray[Any], vectors: Floats
) -> Floats:
    """(heads, rows, labels) probabilities on ``vectors`` of the heads that each row of ``masks``, (heads, taught rows)
    weights, teaches.

    Args:
        like: a solved head of the same reading, whose prior's strength they take.
    """
    heads: Sequence[Any] = solve_weighted(task, like, taught, labels, None, masks)
    return np.stack([task.probabilities(head.logits(vectors)) for head in heads])
