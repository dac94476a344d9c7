"""Whether the rows that teach still show the labels that are to be told apart."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints, Task
from nlptl.errors import DataError

if TYPE_CHECKING:
    from nlptl.transfer.plan import Turn

log = logging.getLogger("nlptl")

Encoded = Mapping[str, npt.NDArray[Any]]
"""By task, what ``Task.encode`` gives of all rows."""


def labels_differ(turn: str, tasks: Mapping[str, Task], encoded: Encoded, teach: Ints, *, once: str = "") -> None:
    """Whether the rows ``teach`` differ in their label, for each task that labels teach.

    Args:
        once: what was done before that may be why they do not, such as ``", once copies are left out,"``.

    Raises:
        DataError: those of some task do not.
    """
    for name, task in tasks.items():
        if not task.head.needs_labels:
            continue
        taught = encoded[name][teach][task.labelled(encoded[name][teach])]
        varied = taught.min(axis=0) != taught.max(axis=0) if len(taught) else np.False_
        if not np.any(varied):
            raise DataError(
                f"the {len(taught)} rows that teach task {name!r} in turn {turn!r}{once} do not differ in their label; "
                "name more domains in transfer.source, or raise transfer.target_labels or data.sample."
            )


def labels_are_left(before: Turn, after: Turn, tasks: Mapping[str, Task], encoded: Encoded) -> None:
    """Whether ``after``, which is ``before`` without its leaks, still teaches each task; labels that no row shows any
    more are told.

    Raises:
        DataError: as ``labels_differ``.
    """
    if len(after.teach) == len(before.teach):
        return
    once = ", once copies of scored or validation rows are left out,"
    labels_differ(after.name, tasks, encoded, after.teach, once=once)
    for name, task in tasks.items():
        gone = sorted(_shown(task, encoded[name][before.teach]) - _shown(task, encoded[name][after.teach]))
        if gone:
            log.warning(
                "turn %r, task %r: every row that teaches %s is a copy of a scored or validation row and is left out, "
                "so that nothing teaches it; name more domains in transfer.source, or lower transfer.hold_out",
                after.name, name, ", ".join(gone),
            )  # fmt: skip


def _shown(task: Task, encoded: npt.NDArray[Any]) -> set[str]:
    """The labels that some row has."""
    known = encoded[task.labelled(encoded)]
    places = np.flatnonzero((known == 1).any(axis=0)) if known.ndim == 2 else np.unique(known)
    return {task.labels[place] for place in places}
