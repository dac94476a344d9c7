"""What a head reads: one reading of the encoder, or several side by side, named with ``+`` between them."""

from __future__ import annotations

from collections.abc import Iterable

CHOICES = {
    "last": ("last",),
    "cls": ("cls",),
    "layers": ("layers",),
    "both": ("last+layers",),
    "auto": ("last", "layers", "last+layers"),
    "mix": ("layers",),
}
"""By ``encoder.pool``, what a solved head may read; it takes the one with the lowest cross-validated loss. ``mix``
starts as the mean of all layers and is learned."""

PREFERRED = ("last+layers", "last")
"""Of what a head may read, what it does where there are no labels to choose by, or too few."""


def unasked(readings: Iterable[str]) -> str:
    """The one of ``readings`` that is taken without labels."""
    names = tuple(readings)
    return next((name for name in PREFERRED if name in names), names[0])


def parts(readings: Iterable[str]) -> tuple[str, ...]:
    """The encoder's readings that ``readings`` are made of, each once, sorted."""
    return tuple(sorted({part for reading in readings for part in reading.split("+")}))


def every_layer(depth: int) -> tuple[str, ...]:
    """The readings of the embeddings' output and of each of ``depth`` layers, from the bottom."""
    return tuple(f"layer.{number}" for number in range(depth + 1))


def mixed_layers(reading: str) -> int:
    """How many layers ``reading`` mixes; 0 where it mixes none."""
    names = reading.split("+")
    return len(names) if len(names) > 1 and all(name.startswith("layer.") for name in names) else 0
