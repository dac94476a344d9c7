"""The gate: a dearer candidate serves a domain only where it is surely better than the simpler one.

For each domain the candidates stand in an order from cheap to dear. The cheapest serves until another one beats it:
the incumbent and each later candidate are compared by the exact McNemar test on the same rows, none of which taught
either of them, and Holm's correction over all the domains served keeps the chance of a single wrong promotion at
``ALPHA`` in each round. Rows of domains that played the target count beside the target's own labels: they say how much
a candidate helps on a domain of this kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nlptl.errors import RunError
from nlptl.evaluate.compare import holm, mcnemar

ALPHA = 0.05
"""The chance, over all domains of a round, that a candidate is promoted that is no better."""

Right: TypeAlias = "npt.NDArray[np.bool_]"


@dataclass(frozen=True)
class Trial:
    """One candidate against the incumbent, on one domain's evidence.

    Attributes:
        candidate: the dearer one; ``incumbent`` the one that it would replace.
        rows: rows of evidence.
        only_candidate: rows that only the candidate answers rightly; ``only_incumbent`` those of the other.
        p: of the exact McNemar test, two-sided; ``p_holm`` corrected over the domains of this round.
        promoted: whether the candidate took over.
    """

    candidate: str
    incumbent: str
    rows: int
    only_candidate: int
    only_incumbent: int
    p: float
    p_holm: float
    promoted: bool


@dataclass(frozen=True)
class Verdict:
    """Which candidate serves a domain, and the trials that say why, in the order in which they were held."""

    shipped: str
    trials: tuple[Trial, ...]


def choose(order: Sequence[str], evidence: Mapping[str, Mapping[str, Right]]) -> dict[str, Verdict]:
    """The candidate that each domain gets.

    Args:
        order: the candidates, cheap to dear; the first has evidence everywhere.
        evidence: by domain and candidate, (rows,) bool: which of the domain's rows of evidence it answers rightly;
            the same rows for all candidates of a domain. A candidate that could not be made for a domain is left out.

    Raises:
        RunError: a domain lacks the first candidate, names an unknown one, or has columns of different lengths.
    """
    for domain, right in evidence.items():
        _check(domain, order, right)
    shipped = dict.fromkeys(evidence, order[0])
    trials: dict[str, list[Trial]] = {domain: [] for domain in evidence}
    for candidate in order[1:]:
        entered = [domain for domain, right in evidence.items() if candidate in right]
        tests = [mcnemar(evidence[name][candidate], evidence[name][shipped[name]]) for name in entered]
        for domain, test, adjusted in zip(entered, tests, holm([test.p for test in tests]), strict=True):
            won = adjusted <= ALPHA and test.only_a > test.only_b
            trials[domain].append(Trial(
                candidate=candidate, incumbent=shipped[domain], rows=len(evidence[domain][candidate]),
                only_candidate=test.only_a, only_incumbent=test.only_b, p=test.p, p_holm=adjusted, promoted=won,
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
