"""Progress of long work: a bar with the time left, on a terminal, from the main process; silence elsewhere. And which
process is the main one, asked of the launcher's environment, before anything heavy is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def is_main_process() -> bool:
    """Whether this is the first of the processes that a launcher started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A function that takes what is done and what there is in all, and shows it while the block runs."""
    if not is_main_process() or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        shown = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(shown, completed=done, total=total)
