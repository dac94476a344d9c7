"""This process among those that a launcher started; what the launcher cannot be asked for, and what it did not do."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import yaml

from nlptl.errors import RecipeError

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger("nlptl")


def launched() -> Accelerator:
    """Of the processes that a launcher started, this one.

    Raises:
        RecipeError: the launcher asks for numbers that must be scaled, or for a model that is divided.
    """
    from accelerate import Accelerator, InitProcessGroupKwargs

    # The others wait while the main process encodes or solves, for longer than the ten minutes that cards allow.
    accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=2))])
    _refuse_what_is_not_done(accelerator)
    _warn_if_alone(accelerator)
    return accelerator


def _refuse_what_is_not_done(accelerator: Accelerator) -> None:
    precision, way = accelerator.mixed_precision, accelerator.distributed_type.value
    if precision not in ("no", "bf16"):
        raise RecipeError(
            f"the launcher asks for mixed precision {precision}, whose numbers must be scaled; launch with "
            "--mixed_precision bf16, or no."
        )
    if way != "NO" and not way.startswith("MULTI_"):
        raise RecipeError(
            f"the launcher asks for {way}, and here each process has the whole model and a share of the rows; launch "
            "without it, such as by accelerate launch --multi_gpu, or python -m torch.distributed.run."
        )


def destroy_process_group() -> None:
    """Leave the other processes, where there are any; else threads that talk to them may abort this one at its end."""
    from accelerate import PartialState

    PartialState().destroy_process_group()


def _warn_if_alone(accelerator: Accelerator) -> None:
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
    """How many processes ``accelerate launch`` was asked for, by the command lines of the parents, or else by
    Accelerate's configuration; 1 if not at all."""
    for words in commands:
        if "launch" not in words or not any("accelerate" in word for word in words[: words.index("launch")]):
            continue
        named = _value(words, "--num_processes") or _configured(_value(words, "--config_file")).get("num_processes", 1)
        return int(named) if str(named).isdigit() else 1
    return 1


def _value(words: list[str], flag: str) -> str | None:
    """What follows ``flag``, written with underscores or hyphens, in a command line; None where it is not there."""
    for place, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in (flag, "--" + flag[2:].replace("_", "-")):
            return value or next(iter(words[place + 1 :]), None)
    return None


def _configured(file: str | None) -> dict[str, Any]:
    """What ``accelerate config`` wrote; nothing where it wrote nothing that can be read."""
    from accelerate.commands.config.config_args import default_yaml_config_file

    try:
        found = yaml.safe_load(Path(file or default_yaml_config_file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
