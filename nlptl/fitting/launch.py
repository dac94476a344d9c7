"""Telling the user when a launcher was asked for several processes and started one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger("nlptl")


def warn_if_alone(accelerator: Accelerator) -> None:
    """Warn where ``accelerate launch --num_processes N`` left this process alone, as it does on a CPU without MPI."""
    if accelerator.num_processes > 1:
        return
    asked = asked_processes([line for parent in psutil.Process().parents()[:2] for line in [parent.cmdline()]])
    if asked > 1:
        log.warning(
            "the launcher was asked for %d processes and started one. On CPUs use: "
            "python -m torch.distributed.run --nproc_per_node %d -m nlptl run …",
            asked, asked,
        )  # fmt: skip


def asked_processes(commands: list[list[str]]) -> int:
    """How many processes ``accelerate launch`` was asked for, by the command lines of the parents; 1 if not at all."""
    for words in commands:
        if "launch" not in words or not any("accelerate" in word for word in words[: words.index("launch")]):
            continue
        for place, word in enumerate(words):
            flag, _, value = word.partition("=")
            if flag in ("--num_processes", "--num-processes"):
                value = value or (words[place + 1] if place + 1 < len(words) else "1")
                return int(value) if value.isdigit() else 1
    return 1
