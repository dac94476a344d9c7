"""A training that tells what it logged, and may be broken off."""

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from nlptl.model import Examples, Network
from nlptl.recipe import Train
from nlptl.registry import find
from nlptl.train.loop import train

SETTINGS = Train(epochs=3, batch_tokens=128, lr=1e-2, checkpoint_steps=4)


class Interrupted(Exception):
    """Stands for a kill."""


def run(
    network: Network,
    examples: Examples,
    folder: Path,
    *,
    settings: Train = SETTINGS,
    resume: bool = False,
    stop_after: int | None = None,
    validation: Examples | None = None,
    fingerprint: str = "f",
    balance: str = "equal",
    augment: str | None = None,
) -> list[dict[str, Any]]:
    """Train and return what was logged; with ``stop_after``, break off after so many steps."""
    logged: list[dict[str, Any]] = []

    def progress(done: int, total: int) -> None:
        if done == stop_after:
            raise Interrupted

    train(
        network, examples, validation=validation, settings=settings, seed=3, folder=folder, fingerprint=fingerprint,
        resume=resume, accelerator=Accelerator(cpu=True), log=logged.append, progress=progress,
        balance=find("balance", balance)(), augment=[] if augment is None else [find("augment", augment)()],
    )  # fmt: skip
    return logged
