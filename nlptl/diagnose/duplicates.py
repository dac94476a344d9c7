"""The same text twice, and the same text with two labels."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlptl.contracts import Ints
from nlptl.contracts.diagnose import Diagnosis, View


class Duplicates(Diagnosis):
    """Groups of texts that are copies of one another, exact or near, and those whose labels conflict."""

    kind: Literal["duplicates"] = "duplicates"
    shown: int = Field(100, gt=0, description="At most so many groups, the largest first.")

    def measure(self, view: View) -> dict[str, Any]:
        """``copies``: rows beyond the first of their group; ``groups`` and ``conflicts``: lists of places in the view.

        The leak guard's signatures say which texts are copies: ``groups`` of the view.
        """
        [groups] = view.need("groups")
        found = copies(groups)
        known = view.labels if view.labels is not None else np.full(len(groups), -1)
        conflicts = [rows for rows in found if len({label for label in known[rows].tolist() if label >= 0}) > 1]
        return {
            "copies": sum(len(rows) - 1 for rows in found),
            "groups": [rows.tolist() for rows in found[: self.shown]],
            "conflicts": [rows.tolist() for rows in conflicts[: self.shown]],
        }


def copies(groups: Ints) -> list[Ints]:
    """The places of each group of two or more, the largest group first."""
    order = np.argsort(groups, kind="stable")
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    found = [np.sort(rows) for rows in np.split(order, cuts) if len(rows) > 1]
    return sorted(found, key=lambda rows: (-len(rows), int(rows[0])))
