"""The cost account of a run: texts encoded or found in the store, lower layers reused, what scratch costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SCRATCH = "scratch"
"""The system that starts from random weights: the same architecture, rows and steps."""


@dataclass
class Account:
    """What is counted while a run goes on.

    Attributes:
        encoded: distinct texts that went through the frozen encoder.
        stored: distinct texts whose vectors were found in the store.
        refits: one entry for each training on all rows, those that had been held back to choose among them.
        reuse: one entry for each set of texts that a training met with frozen lower layers.
        scratch: parameters of the network that learned from scratch; None where none did.
    """

    encoded: int = 0
    stored: int = 0
    refits: list[dict[str, Any]] = field(default_factory=list)
    reuse: list[dict[str, Any]] = field(default_factory=list)
    scratch: dict[str, int] | None = None

    def counting(self, distinct: int, progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """``progress``, told so far of ``distinct`` texts how many were encoded; the rest count as stored."""
        self.stored += distinct
        before = 0

        def count(done: int, todo: int) -> None:
            nonlocal before
            self.encoded, self.stored = self.encoded + done - before, self.stored - (done - before)
            before = done
            progress(done, todo)

        return count


def cost(
    account: Account,
    *,
    seconds: Mapping[str, float],
    params: Mapping[str, int],
    peak_rss_mb: float,
    tasks: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The ``cost`` part of ``results.json``.

    Args:
        tasks: what ``summarise`` returns; where ``scratch`` is among the systems, its metrics and our gain in accuracy
            over it are put beside what it cost.
    """  # fmt: skip
    scratch = None
    if account.scratch is not None:
        scratch = {
            "params": account.scratch,
            "seconds": seconds[SCRATCH],
            "tasks": {
                name: {"overall": task["rungs"][SCRATCH]["overall"], "gain": task["gains"]["overall"][SCRATCH]}
                for name, task in tasks.items()
                if SCRATCH in task["rungs"]
            },
        }
    return {
        "params": dict(params),
        "seconds": dict(seconds),
        "peak_rss_mb": peak_rss_mb,
        "texts": {"encoded": account.encoded, "stored": account.stored},
        "refit": list(account.refits),
        "reuse": list(account.reuse),
        SCRATCH: scratch,
    }
