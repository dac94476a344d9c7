"""The curve of labels: what each rung is worth on a target with 0, 1, 2, … labels a class.

An evaluation, and nothing else: it looks at labels of the target's unscored part, whatever ``target_labels`` shows of
them, and neither the model nor any other number depends on it. Scored rows are those of the turn.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Ints
from nlptl.evaluate.curves import accuracies
from nlptl.fitting.cold_rungs import Cold, of_labels, without_labels
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.heads import calibrating
from nlptl.fitting.setting import Setting
from nlptl.progress import bar
from nlptl.recipe import Recipe
from nlptl.transfer.draw import keyed
from nlptl.transfer.plan import Turn

if TYPE_CHECKING:
    from nlptl.fitting.conclude import Planned


log = logging.getLogger("nlptl")


@dataclass(frozen=True, eq=False)
class Draws:
    """The rows of one target whose labels may be drawn for one task.

    Attributes:
        rows: row numbers, ascending.
        ranks: (draws, rows) place of each row in its class's order of that draw; the first k rows of each class are
            the draw of k labels, so that each draw holds the smaller ones.
    """

    task: str
    target: str
    turn: Turn
    rows: Ints
    ranks: Ints

    def of(self, draw: int, shots: int) -> Ints:
        """The rows whose labels are shown, ascending."""
        return np.asarray(self.rows[self.ranks[draw] < shots])


def draws(recipe: Recipe, corpus: Corpus, planned: Planned) -> Iterator[Draws]:
    """Those of every task and target of the first seed's turns; nothing where the recipe asks for no curve."""
    cold = recipe.evaluate.cold_start
    if cold is None:
        return
    turns = [turn for seed, turn, _ in planned if seed == recipe.seed]
    served = [(turn, target) for turn in turns for target in turn.targets]
    for task, (turn, target) in itertools.product(corpus.tasks, served):
        if not len(corpus.labelled(task, corpus.of_domain(turn.score, target))):
            continue  # the results name the targets without a scored row
        rows = corpus.labelled(task, _may_show(recipe, corpus, turn, target))
        ids, classes = [str(name) for name in corpus.ids[rows]], corpus.encoded[task][rows]
        ranks = [
            _ranks(classes, keyed(ids, seed=recipe.seed, purpose=f"cold_start {draw}")) for draw in range(cold.seeds)
        ]
        yield Draws(task, target, turn, rows, np.array(ranks, dtype=np.int64))


def cold_rows(recipe: Recipe, corpus: Corpus, planned: Planned) -> Ints:
    """The rows whose vectors the curve needs beyond those that teach or are scored."""
    cold = recipe.evaluate.cold_start
    needed = [np.empty(0, dtype=np.int64)]
    for each in draws(recipe, corpus, planned):
        assert cold is not None
        needed.append(each.rows[(each.ranks < max(cold.shots)).any(axis=0)])
        needed.append(calibrating(corpus.of_domain(each.turn.unlabelled, each.target)))
    return np.unique(np.concatenate(needed))


def curves(setting: Setting, planned: Planned) -> dict[str, dict[str, Any]] | None:
    """task → target → ``n`` scored rows, ``draws``, and ``points``: for each number of ``shots`` the ``labels`` shown
    and, by system, ``accuracy`` with ``ci95``. None where the recipe asks for no curve."""
    if setting.recipe.evaluate.cold_start is None:
        return None
    found: dict[str, dict[str, Any]] = {}
    for each in draws(setting.recipe, setting.corpus, planned):
        found.setdefault(each.task, {})[each.target] = _curve(setting, each)
    return found


def _curve(setting: Setting, drawn: Draws) -> dict[str, Any]:
    evaluate, corpus = setting.recipe.evaluate, setting.corpus
    assert evaluate.cold_start is not None
    scored = corpus.labelled(drawn.task, corpus.of_domain(drawn.turn.score, drawn.target))
    cold = Cold.of(setting, drawn.turn, drawn.task, drawn.target, scored)
    fixed = without_labels(cold)
    points: list[dict[str, Any]] = []
    passed = 0
    shots_there = [k for k in evaluate.cold_start.shots if k == 0 or (drawn.ranks[0] == k - 1).any()]
    with bar(f"labels of {drawn.target}") as progress:
        for done, shots in enumerate(shots_there, start=1):
            shown = [drawn.of(draw, shots) for draw in range(len(drawn.ranks))]
            kept = [draw for draw, rows in enumerate(shown) if shots == 0 or cold.can_teach(rows)]
            passed += len(shown) - len(kept)
            taught = [of_labels(cold, shown[draw], draw) for draw in kept] if shots else []
            right = {name: [answers] * len(kept) for name, answers in fixed.items()}
            right |= {name: [each[name] for each in taught] for name in (taught[0] if taught else ())}
            if kept and right:
                copies, seed = corpus.copies[scored], setting.recipe.seed
                systems = accuracies(right, copies, resamples=evaluate.bootstrap, seed=seed)
                points.append({"shots": shots, "labels": len(shown[0]), "systems": systems})
            progress(done, len(shots_there))
    if passed:
        log.warning(
            "evaluate.cold_start: task %r, target %r: %d draws of labels show one label or text alone, which teach "
            "nothing, and are passed over",
            drawn.task, drawn.target, passed,
        )  # fmt: skip
    return {"n": len(scored), "draws": len(drawn.ranks), "points": points}


def _may_show(recipe: Recipe, corpus: Corpus, turn: Turn, target: str) -> Ints:
    """The target's rows that may teach were all its labels shown: not scored, nor of a split that never teaches."""
    rows = np.setdiff1d(corpus.of_domain(np.union1d(turn.teach, turn.unlabelled), target), turn.score)
    if "split" not in corpus.dataset.column_names:
        return rows
    splits = np.array([value or "train" for value in corpus.dataset[:]["split"]], dtype=object)[rows]
    return rows[np.isin(splits.astype(str), ["train"] if recipe.transfer.hold_out is None else ["train", "test"])]


def _ranks(classes: Ints, order: Any) -> Ints:
    """(rows,) each row's place among those of its class, by ``order``."""
    ranks = np.empty(len(classes), dtype=np.int64)
    for label in np.unique(classes):
        here = np.flatnonzero(classes == label)
        ranks[here[np.argsort(order[here], kind="stable")]] = np.arange(len(here))
    return ranks
