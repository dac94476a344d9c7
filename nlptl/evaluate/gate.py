"""The gate: a dearer candidate serves a domain only where it is surely better than the simpler one.

For each domain the candidates stand in an order from cheap to dear. The cheapest serves until another one beats it:
the incumbent and each later candidate are compared by the exact McNemar test on the same rows, none of which taught
either of them, and Holm's correction over all the domains served keeps the chance of a single wrong promotion at
``ALPHA`` in each round. Rows of domains that played the target count beside the target's own labels: they say how much
a candidate helps on a domain of this kind. As rows of one domain are not independent trials of the next one, two things
more are asked: the target's own rows must not speak against the candidate, and it must lead in more domains than it
trails in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints
from nlptl.errors import RunError
from nlptl.evaluate.compare import Mcnemar, holm, mcnemar

ALPHA = 0.05
"""The chance, over all domains of a round, that a candidate is promoted that is no better."""

Right: TypeAlias = "npt.NDArray[np.bool_]"


@dataclass(frozen=True)
class Trial:
    """One candidate against the incumbent, on one domain's evidence.

    Attributes:
        candidate: the dearer one; ``incumbent`` the one that it would replace.
        rows: rows of evidence on which both were tried, copies of one text counted once.
        only_candidate: those that only the candidate answers rightly; ``only_incumbent`` those of the other.
        own_candidate: of ``only_candidate``, the domain's own; ``own_incumbent`` of the other.
        ahead: domains in which the candidate alone is right more often; ``behind`` less often.
        p: of the exact McNemar test, two-sided; ``p_holm`` corrected over the domains of this round.
        promoted: whether the candidate took over.
    """

    candidate: str
    incumbent: str
    rows: int
    only_candidate: int
    only_incumbent: int
    own_candidate: int
    own_incumbent: int
    ahead: int
    behind: int
    p: float
    p_holm: float
    promoted: bool


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the candidates answered on the rows that speak for one domain, the same rows for all of them.

    Attributes:
        right: by candidate, (rows,) bool: which rows it answers rightly. One that could not be made is left out.
        domains: (rows,) whose rows they are.
        copies: (rows,) numbers; rows of one number are copies of one text, with one vote together.
        tried: by candidate, (rows,) bool: the rows on which it was tried; on all where it is left out.
    """

    right: Mapping[str, Right]
    domains: npt.NDArray[np.object_]
    copies: Ints
    tried: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def votes(self, candidate: str, incumbent: str) -> tuple[int, Mcnemar, dict[str, Mcnemar]]:
        """(distinct rows on which both were tried, the test on all of them, the tests by domain)."""
        everywhere = np.ones(len(self.copies), dtype=bool)
        both = self.tried.get(candidate, everywhere) & self.tried.get(incumbent, everywhere)

        def test(rows: npt.NDArray[np.bool_]) -> Mcnemar:
            return mcnemar(self.right[candidate][rows], self.right[incumbent][rows], self.copies[rows])

        by_domain = {str(name): test(both & (self.domains == name)) for name in np.unique(self.domains[both])}
        return len(np.unique(self.copies[both])), test(both), by_domain


@dataclass(frozen=True)
class Verdict:
    """Which candidate serves a domain, and the trials that say why, in the order in which they were held."""

    shipped: str
    trials: tuple[Trial, ...]


def choose(order: Sequence[str], evidence: Mapping[str, Evidence]) -> dict[str, Verdict]:
    """The candidate that each domain gets.

    Args:
        order: the candidates, cheap to dear; the first has evidence everywhere.
        evidence: by domain.

    Raises:
        RunError: a domain lacks the first candidate, names an unknown one, or has columns of different lengths.
    """
    for domain, found in evidence.items():
        _check(domain, order, found.right)
    shipped = dict.fromkeys(evidence, order[0])
    trials: dict[str, list[Trial]] = {domain: [] for domain in evidence}
    for candidate in order[1:]:
        entered = [domain for domain, found in evidence.items() if candidate in found.right]
        votes = [evidence[name].votes(candidate, shipped[name]) for name in entered]
        adjusted = holm([test.p for _, test, _ in votes])
        for domain, (rows, test, by_domain), p_holm in zip(entered, votes, adjusted, strict=True):
            own = by_domain.get(domain, Mcnemar(0, 0, 1.0))
            ahead = sum(each.only_a > each.only_b for each in by_domain.values())
            behind = sum(each.only_a < each.only_b for each in by_domain.values())
            surely = p_holm <= ALPHA and test.only_a > test.only_b
            won = surely and own.only_a >= own.only_b and ahead > behind
            trials[domain].append(Trial(
                candidate=candidate, incumbent=shipped[domain], rows=rows, only_candidate=test.only_a,
                only_incumbent=test.only_b, own_candidate=own.only_a, own_incumbent=own.only_b, ahead=ahead,
                behind=behind, p=test.p, p_holm=p_holm, promoted=won,
            ))  # fmt: skip
            if won:
                shipped[domain] = candidate
    return {domain: Verdict(shipped[domain], tuple(held)) for domain, held in trials.items()}


def _check(domain: str, order: Sequence[str], right: Mapping[str, Right]) -> None:
    if order[0] not in right:
        raise RunError(f"domain {domain!r} has no evidence of {order[0]!r}, the candidate that needs none to serve.")
    if unknown := sorted(set(right) - set(order)):
        raise RunError(f"domain {domain!r} has evidence of {unknown[0]!r}, which is none of {', '.join(order)}.")
    if len({len(column) for column in right.values()}) > 1:
        lengths = {name: len(column) for name, column in right.items()}
        raise RunError(f"domain {domain!r}: candidates were judged on different numbers of rows: {lengths}.")
