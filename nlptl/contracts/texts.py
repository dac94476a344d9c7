"""Heads that read texts themselves, not the encoder's vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nlptl.contracts import Floats, Head


class TextScores(Protocol):
    """What gives texts their scores."""

    @property
    def identity(self) -> str:
        """A hash of what makes them."""

    @property
    def precision(self) -> str:
        """Of the weights."""

    def __call__(self, texts: Sequence[str]) -> Floats:
        """(texts, labels) scores in nats."""


class TextHead(Head):
    """A head whose one reading is what its own body says of the texts; its network is a map of those scores."""

    def scores(self, labels: Sequence[str], *, device: str = "cpu", precision: str | None = None) -> TextScores:
        """The body, loaded; ``precision``: of its weights, instead of the one that the settings name.

        Raises:
            ModelError: it is not there or cannot be used.
        """
        raise NotImplementedError


def texts_reading(task: str) -> str:
    """The name of the reading that the head of ``task`` makes of the texts."""
    return f"texts.{task}"
