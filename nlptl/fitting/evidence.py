"""The evidence for each rung: what it answered where it was rehearsed.

Every source domain in turn plays the target, with as many labels and unlabelled texts as the target has, and so do the
target's own labels, fold by fold. The scored rows have no part in it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints
from nlptl.encoder.lexical import Lexical
from nlptl.errors import DataError
from nlptl.evaluate._scores import correct
from nlptl.evaluate.gate import Evidence
from nlptl.fitting.corpus import Corpus, Vectors
from nlptl.fitting.rehearsal import Lane, Trained
from nlptl.fitting.rungs import RUNGS, Situation, Table, right, solve_each, solve_rungs
from nlptl.heads._solved import LinearWeights, Solved
from nlptl.heads._temperature import fit_temperature
from nlptl.recipe import Transfer
from nlptl.transfer.draw import first_of_each, keyed
from nlptl.transfer.folds import folds as make_folds
from nlptl.transfer.plan import Turn, places

log = logging.getLogger("nlptl")

MOST_PARTS = 5
"""A rehearsing domain's rows are scored in at most so many parts, each of which is one more situation to solve."""


@dataclass(frozen=True)
class Climbed:
    """What the rungs came to for one task of one target.

    Attributes:
        heads: by rung, of the real situation.
        answers: by rung, (scored rows of the target, labels) probabilities.
        evidence: which of the rows of evidence each rung answered rightly.
    """

    heads: Mapping[str, LinearWeights]
    answers: Mapping[str, Floats]
    evidence: Evidence


def climb_turn(
    corpus: Corpus,
    vectors: Vectors,
    transfer: Transfer,
    turn: Turn,
    groups: Ints,
    task: str,
    like: Solved,
    lexical: Lexical | None,
    *,
    seed: int,
    trained: Trained | None = None,
) -> dict[str, Climbed]:
    """Every rung of ``task`` for every target of ``turn``.

    Args:
        groups: (teaching rows,) near-duplicate groups.
        trained: a rung that is trained. Sources that rehearse it together are held out together for every rung. Other
            rows of evidence, the target's own labels among them, say nothing of it.
        like: the turn's head, for reading, precisions and calibration; ``lexical`` the words beside it.
    """
    cast = _Cast.of(corpus, vectors, turn, groups, task, like, lexical)
    together = [] if trained is None else trained.groups(cast.sources, seed)
    rehearsals = list(cast.by_sources(transfer, seed, together))
    own = {target: list(cast.by_own_labels(target, seed)) for target in turn.targets}
    real = {target: cast.real(target) for target in turn.targets}
    situations = [*rehearsals, *(each for target in turn.targets for each in own[target]), *real.values()]
    heads = dict(zip(map(id, situations), solve_rungs(cast.table, like, situations, seed=seed), strict=True))

    rehearsed = {} if trained is None else cast.rehearsed(like, rehearsals, together, trained)
    if trained is not None and not rehearsed:
        log.warning(
            "transfer.choose: %s has %d sources, and holding them out leaves some rehearsal of %s untaught: it is no "
            "candidate there",
            turn.name, len(cast.sources), trained.name,
        )  # fmt: skip
    climbed = {}
    for target, situation in real.items():
        rungs = heads[id(situation)]
        held = [*rehearsals, *own[target]]
        climbed[target] = Climbed(
            heads=rungs,
            answers={
                name: cast.table.task.probabilities(cast.table.logits(head, situation.scored))
                for name, head in rungs.items()
            },
            evidence=cast.evidence(held, [heads[id(each)] for each in held], tuple(rungs), trained, rehearsed),
        )
    return climbed


@dataclass(frozen=True, eq=False)
class _Cast:
    """The rows of a turn and who they belong to; arrays are by position in the table."""

    table: Table
    rows: Ints
    ids: npt.NDArray[np.object_]
    domains: npt.NDArray[np.object_]
    teaches: npt.NDArray[np.bool_]
    unlabelled: npt.NDArray[np.bool_]
    scored: npt.NDArray[np.bool_]
    turn: Turn
    judges: npt.NDArray[np.bool_]
    """Which rows may be evidence: none that the run before knows."""

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        vectors: Vectors,
        turn: Turn,
        groups: Ints,
        task: str,
        like: Solved,
        lexical: Lexical | None,
    ) -> _Cast:
        taught = corpus.labelled(task, turn.teach)
        scored = corpus.labelled(task, turn.score)
        rows = np.unique(np.concatenate([taught, turn.unlabelled, scored]))
        teaches = np.isin(rows, taught)
        encoded = corpus.encoded[task][rows].copy()
        encoded[~teaches] = np.nan if encoded.ndim == 2 else -1
        group = -1 - np.arange(len(rows))
        group[teaches] = groups[np.searchsorted(turn.teach, taught)]
        table = Table(
            task=corpus.tasks[task],
            vectors=vectors.of(rows, like.reading),
            words=None if lexical is None else lexical.transform(list(corpus.texts[rows])),
            encoded=encoded,
            groups=group,
            temperature=fit_temperature(corpus.tasks[task], like.out_of_fold, corpus.encoded[task][taught]),
        )
        return cls(
            table, rows, corpus.ids[rows], corpus.domains[rows], teaches, np.isin(rows, turn.unlabelled),
            np.isin(rows, scored), turn, corpus.fresh(rows),
        )  # fmt: skip

    def real(self, target: str) -> Situation:
        """The target as it is."""
        here = self.domains == target
        return Situation(
            teach=places(self.teaches & ~here),
            shown=places(self.teaches & here),
            unlabelled=places(self.unlabelled & here),
            scored=places(self.scored & here),
        )

    @property
    def sources(self) -> list[str]:
        """The domains that only teach; where no two do, all that teach: each plays another one by its own labels."""
        only = set(self.domains[self.teaches]) - set(self.turn.targets)
        return sorted(only if len(only) > 1 else set(self.domains[self.teaches]))

    def by_sources(self, transfer: Transfer, seed: int, together: Sequence[tuple[str, ...]]) -> Iterator[Situation]:
        """Each of ``sources`` in the part of a target, taught by none that is held out ``together`` with it.
        Its rows take turns in being scored, a part as large as the targets' scored share of their rows each time, and
        lend their texts in between."""
        sources, out = self.sources, {name: group for group in together for name in group}
        of_targets = np.isin(self.domains, self.turn.targets)
        lent = (of_targets & self.unlabelled & ~self.teaches & ~self.scored).sum()
        parts = max(1, min(MOST_PARTS, round((lent + self.scored.sum()) / max(1, self.scored.sum()))))
        for domain in sources if len(sources) > 1 else ():
            rows = places(self.teaches & (self.domains == domain))
            order = keyed((str(row_id) for row_id in self.ids[rows]), seed=seed, purpose="rehearsal")
            shows = self._shows(transfer, rows, order)
            shown, rest = rows[shows], rows[~shows][np.argsort(order[~shows])]
            played = []
            for scored in np.array_split(rest, parts):
                copies = np.isin(self.table.groups, self.table.groups[scored])
                teach = places(self.teaches & ~np.isin(self.domains, out.get(domain, (domain,))) & ~copies)
                lends = np.setdiff1d(np.r_[rest, shown], scored) if parts > 1 else scored[:0]
                if len(scored) and len(teach):
                    played.append(Situation(teach, shown[~copies[shown]], lends[~copies[lends]], np.sort(scored)))
            if not played:
                log.warning(
                    "transfer.choose: %s cannot rehearse task %r: no row of another domain is left to teach it",
                    domain, self.table.task.name,
                )  # fmt: skip
            yield from played

    def rehearsed(
        self, like: Solved, rehearsals: Sequence[Situation], together: Sequence[tuple[str, ...]], trained: Trained
    ) -> dict[int, npt.NDArray[np.bool_]]:
        """By id of a rehearsal: (scored rows,) bool, which a trained rung answers rightly; empty where some group has
        nothing to be taught by.

        A group's domains and their parts are rehearsed by one training: none of them teaches, nor a copy of it.
        """
        parts: dict[str, list[Situation]] = {", ".join(group): [] for group in together}
        names = {name: ", ".join(group) for group in together for name in group}
        for each in rehearsals:
            if (domain := str(self.domains[each.scored[0]])) in names:
                parts[names[domain]].append(each)
        parts = {name: of for name, of in parts.items() if of}
        teach = {name: reduce(np.intersect1d, [each.teach for each in of]) for name, of in parts.items()}
        scored = {name: np.concatenate([each.scored for each in of]) for name, of in parts.items()}
        shown = {name: self._shown_by_all(of) for name, of in parts.items()}
        alone = list(parts) if trained.lanes is None else []
        starts = solve_each(self.table, like, [np.r_[teach[name], shown[name]] for name in alone]) if alone else []
        start = dict(zip(alone, starts, strict=True))
        found = trained.trains({
            name: Lane(self.rows[teach[name]], self.rows[shown[name]], self.rows[scored[name]], start.get(name))
            for name in parts
        })  # fmt: skip
        if found.keys() != parts.keys():
            return {}
        answered = np.zeros(len(self.rows), dtype=bool)
        for name, rows in scored.items():
            answered[rows] = correct(found[name], self.table.encoded[rows])
        return {id(each): answered[each.scored] for of in parts.values() for each in of}

    def evidence(
        self, held: Sequence[Situation], heads: Sequence[Mapping[str, LinearWeights]], rungs: Sequence[str],
        trained: Trained | None, rehearsed: Mapping[int, npt.NDArray[np.bool_]],
    ) -> Evidence:  # fmt: skip
        """What each of ``rungs`` answered in the situations ``held``, the first in the place of one that could not be
        made, and the ``trained`` one where it was ``rehearsed``."""
        rows = _joined([each.scored for each in held]).astype(np.int64)
        answered = {
            name: [right(self.table, made.get(name, made[RUNGS[0]]), each)
                   for each, made in zip(held, heads, strict=True)]
            for name in rungs
        }  # fmt: skip
        tried = {}
        if trained is not None and rehearsed:
            untried = [np.zeros(len(each.scored), dtype=bool) for each in held]
            answered[trained.name] = [rehearsed.get(id(each), none) for each, none in zip(held, untried, strict=True)]
            tried[trained.name] = _joined(
                [none | (id(each) in rehearsed) for each, none in zip(held, untried, strict=True)]
            )
        kept = self.judges[rows]
        columns = {name: _joined(parts)[kept] for name, parts in answered.items()}
        tried = {name: of_rows[kept] for name, of_rows in tried.items()}
        return Evidence(columns, self.domains[rows[kept]], self.table.groups[rows[kept]], tried)

    def _shown_by_all(self, parts: Sequence[Situation]) -> Ints:
        """What the domains of ``parts`` show, without what some part scores, or a copy of it."""
        scored = np.concatenate([each.scored for each in parts])
        copies = np.isin(self.table.groups, self.table.groups[scored])
        shown = np.unique(np.concatenate([each.shown for each in parts]))
        return np.asarray(shown[~copies[shown]], dtype=np.int64)

    def _shows(self, transfer: Transfer, rows: Ints, order: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which of a source's ``rows`` it shows, as many as a target does; at most half of them, or of each class."""
        labels = self.table.encoded[rows]
        asked = transfer.target_labels
        if asked == "all" or labels.ndim == 2:
            many = round(self.turn.labels_of_target / len(self.turn.targets))
            return first_of_each(np.zeros(len(rows), dtype=np.int64), np.array([min(many, len(rows) // 2)]), order)
        halves = np.bincount(labels, minlength=len(self.table.task.labels)) // 2
        return first_of_each(labels, np.minimum(asked, halves), order)

    def by_own_labels(self, target: str, seed: int) -> list[Situation]:
        """The labels that ``target`` shows, each fold of them in the part of its scored rows."""
        real = self.real(target)
        if len(real.shown) < 2:
            return []
        labels, groups = self.table.encoded[real.shown], self.table.groups[real.shown]
        try:
            folds = make_folds(
                labels=labels, domains=self.domains[real.shown], groups=groups, target_labels=len(labels), seed=seed
            )
        except DataError:
            return []
        return [self._held(real, real.shown[teach], real.shown[held]) for teach, held in folds]

    def _held(self, real: Situation, shown: Ints, scored: Ints) -> Situation:
        """``real``, showing ``shown`` and scored by others of its labels, of which no copy is left anywhere."""
        copies = np.isin(self.table.groups, self.table.groups[scored])
        teach, shown, unlabelled = (rows[~copies[rows]] for rows in (real.teach, shown, real.unlabelled))
        return Situation(teach, shown, unlabelled, scored)


def _joined(columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(columns) if columns else np.zeros(0, dtype=bool)
