"""Where transfer hurt: each target's model beside one of its own, and the sources without which it would be better."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints
from nlptl.evaluate._scores import correct
from nlptl.evaluate.compare import holm, mcnemar
from nlptl.evaluate.predictions import MODEL
from nlptl.fitting.answers import inputs
from nlptl.fitting.matrix import can_teach, unweighed, with_task
from nlptl.fitting.turn import Outcome, solve_turn

if TYPE_CHECKING:
    from nlptl.evaluate.predictions import Scored
    from nlptl.fitting.conclude import Planned
    from nlptl.fitting.setting import Setting
    from nlptl.transfer.plan import Turn

log = logging.getLogger("nlptl")

Rights = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Side:
    """One target under one seed: which scored rows are answered rightly, by the served model and by its own."""

    seed: int
    turn: Turn
    groups: Ints
    part: Scored
    own: Rights

    @property
    def ours(self) -> Rights:
        """By the model that is served."""
        return correct(self.part.probabilities[MODEL], self.part.labels)


def negative_transfer(
    setting: Setting, planned: Planned, outcomes: Mapping[tuple[int, str], Outcome], *, alpha: float = 0.05
) -> list[dict[str, Any]]:
    """A row a task and target that shows labels: is the served model worse than a head solved on those labels alone?

    The exact McNemar test over the scored rows, Holm's correction over the targets of a task. Of a target that lost,
    heads are solved without each source in turn; ``harmed_by`` names those without which it gains, the worst first,
    each with ``sure``: whether that is significant too, corrected over the sources.
    """
    rows = []
    for task in setting.corpus.tasks:
        found = _sides(with_task(setting, task), planned, outcomes, task)
        tests = [
            mcnemar(_joined(sides, "ours"), _joined(sides, "own"), np.concatenate([side.part.copies for side in sides]))
            for sides in found.values()
        ]
        for (target, sides), p in zip(found.items(), holm([test.p for test in tests]), strict=True):
            ours, own = (float(_joined(sides, name).mean()) for name in ("ours", "own"))
            lost = ours < own and p <= alpha
            rows.append({
                "task": task, "target": target, "accuracy": ours, "own": own, "p_holm": p, "negative_transfer": lost,
                "harmed_by": _harmed_by(with_task(setting, task), task, target, sides, alpha) if lost else [],
            })  # fmt: skip
    if not rows:
        log.warning(
            "evaluate.negative_transfer: no target shows enough labels for a head of its own (transfer.target_labels), "
            "so that nobody can say whether transfer hurt"
        )
    return rows


def _joined(sides: Sequence[Side], name: str) -> Rights:
    """The sides' ``ours`` or ``own``, end to end."""
    return np.concatenate([getattr(side, name) for side in sides])


def _sides(
    setting: Setting, planned: Planned, outcomes: Mapping[tuple[int, str], Outcome], task: str
) -> dict[str, list[Side]]:
    """By target: its sides under each seed; a target whose own labels cannot teach a head, or none of whose rows is
    scored, is left out."""
    found: dict[str, list[Side]] = {}
    domains = setting.corpus.domains
    for seed, turn, groups in planned:
        for target in turn.targets:
            here = domains[turn.teach] == target
            if here.all() or not can_teach(setting, task, replace(turn, teach=turn.teach[here]), groups[here]):
                continue
            part = next(s for s in outcomes[seed, turn.name].scored if s.task == task).of_domain(target)
            if not len(part.ids):
                continue
            alone = replace(turn, teach=turn.teach[here], labels_of_target=int(here.sum()))
            found.setdefault(target, []).append(
                Side(seed, turn, groups, part, _rights(unweighed(setting), alone, groups[here], task, target, seed))
            )
    return found


def _harmed_by(setting: Setting, task: str, target: str, sides: Sequence[Side], alpha: float) -> list[dict[str, Any]]:
    """The sources without which the solved head gains on the target's scored rows, with the gain and its p value by
    Holm over all sources that were tried."""
    rows: list[dict[str, Any]] = []
    whole_of = [_rights(setting, side.turn, side.groups, task, target, side.seed) for side in sides]
    sources = sorted({str(name) for side in sides for name in set(setting.corpus.domains[side.turn.teach]) - {target}})
    for source in sources:
        pairs = list(_with_and_without(setting, task, target, source, sides, whole_of))
        if not pairs:
            continue
        whole, without, copies = (np.concatenate(column) for column in zip(*pairs, strict=True))
        gain = float(without.mean() - whole.mean())
        rows.append({"source": source, "gain_without": gain, "p": mcnemar(without, whole, copies).p})
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row |= {"p_holm": p, "sure": p <= alpha}
    return sorted((row for row in rows if row["gain_without"] > 0), key=lambda row: -row["gain_without"])


def _with_and_without(
    setting: Setting, task: str, target: str, source: str, sides: Sequence[Side], whole_of: Sequence[Rights]
) -> Iterator[tuple[Rights, Rights, npt.NDArray[Any]]]:
    for side, whole in zip(sides, whole_of, strict=True):
        kept = setting.corpus.domains[side.turn.teach] != source
        less = replace(side.turn, teach=side.turn.teach[kept])
        if kept.all() or not can_teach(setting, task, less, side.groups[kept]):
            continue
        left = set(setting.corpus.domains[less.teach]) - set(side.turn.targets)
        taught_by = setting if len(left) > 1 else unweighed(setting)
        without = _rights(taught_by, less, side.groups[kept], task, target, side.seed)
        yield whole, without, side.part.copies


def _rights(setting: Setting, turn: Turn, groups: Ints, task: str, target: str, seed: int) -> Rights:
    """Which of the target's scored rows a head solved on the rows of ``turn`` answers rightly."""
    corpus = setting.corpus
    model = solve_turn(setting, turn, groups, seed=seed).model
    rows = corpus.labelled(task, corpus.of_domain(turn.score, target))
    return correct(model.probabilities(**inputs(setting, model, rows))[task], corpus.encoded[task][rows])
