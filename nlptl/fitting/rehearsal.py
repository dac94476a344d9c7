"""How a rung that is trained is rehearsed: which domains are held out together, and what one training is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.heads._solved import LinearWeights
from nlptl.transfer.draw import keyed

GROUPS = 3
"""Into which sources are dealt where a rung is trained, so that many sources cost no more trainings than three."""


@dataclass(frozen=True, eq=False)
class Lane:
    """One training that rehearses a rung, for the domains that are held out together: rows of the corpus that teach,
    the domains' own that they show, those to answer, and the solved head of all that teach them, where a domain is held
    out by itself: its adapter starts from there."""

    teach: Ints
    shown: Ints
    scored: Ints
    start: LinearWeights | None


Trains: TypeAlias = Callable[[Mapping[str, Lane]], Mapping[str, Floats]]
"""By name: lane → (scored rows, labels) probabilities; a lane that nothing teaches is left out."""


@dataclass(frozen=True)
class Trained:
    """A rung that is trained: its name, what trains its lanes, and how many of the ``GROUPS`` that sources are dealt
    into rehearse it, one lane a group; with None, every source by itself."""

    name: str
    trains: Trains
    lanes: int | None

    def groups(self, sources: Sequence[str], seed: int) -> list[tuple[str, ...]]:
        """Sources that are held out together."""
        if self.lanes is None:
            return [(name,) for name in sources]
        order = [sources[place] for place in np.argsort(keyed(sources, seed=seed, purpose="groups that rehearse"))]
        count = min(GROUPS, len(order))
        return [tuple(sorted(order[start::count])) for start in range(count)][: self.lanes]
