"""Independent parts of a long table, several at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import torch


def in_processes(work: Callable[..., None], parts: Sequence[tuple[Any, ...]], jobs: int) -> None:
    """Call ``work`` with each of ``parts``, in order; in ``jobs`` processes of one thread each, if not in this one."""
    if jobs == 1:
        for part in parts:
            work(*part)
        return
    spawn = multiprocessing.get_context("spawn")  # a forked process cannot use a card
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for running in as_completed([pool.submit(work, *part) for part in parts]):
            running.result()
