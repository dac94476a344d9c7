"""Bodies of heads that read texts themselves: what they say, how a saved model names them, and their return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlptl.contracts import Floats
from nlptl.contracts.texts import TextHead, TextScores, texts_reading
from nlptl.errors import ModelError
from nlptl.model import Network


def texts_readings(network: Network, texts: Sequence[str]) -> dict[str, Floats]:
    """By reading: the (texts, labels) scores of every head that reads texts itself."""
    return {texts_reading(task): scores(list(texts)) for task, scores in network.text_scores.items()}


def named(network: Network, task: str) -> dict[str, str] | None:
    """What ``model.json`` says of the body that the head of ``task`` reads texts with; None where it reads vectors."""
    scores = network.text_scores.get(task)
    return None if scores is None else {"identity": scores.identity, "precision": scores.precision}


def found_again(network: Network, described: Mapping[str, Any], device: str) -> dict[str, TextScores]:
    """By task: the bodies that ``model.json`` names.

    Args:
        described: its section on tasks.

    Raises:
        ModelError: one is not there, or is not the one that the model was made with.
    """
    found: dict[str, TextScores] = {}
    for name, head in network.task_heads.items():
        settings, before = head.task.head, described[name].get("texts")
        if isinstance(settings, TextHead):
            found[name] = settings.scores(head.task.labels, precision=before["precision"], device=device)
            if found[name].identity != before["identity"]:
                raise ModelError(
                    f"task {name}: the model that reads its texts is another than the one it was made with; its "
                    "answers would be wrong. Get that one back, or run the recipe again."
                )
    return found
