"""What a head reads: one reading of the encoder, or several side by side, named with ``+`` between them."""

from __future__ import annotations

from collections.abc import Iterable

CHOICES = {
    "last": ("last",),
    "cls": ("cls",),
    "layers": ("layers",),
    "both": ("last+layers",),
    "auto": ("last", "layers", "last+layers"),
}
"""By ``encoder.pool``, what a solved head may read; it takes the one with the lowest cross-validated loss."""


def parts(readings: Iterable[str]) -> tuple[str, ...]:
    """The encoder's readings that ``readings`` are made of, each once, sorted."""
    return tuple(sorted({part for reading in readings for part in reading.split("+")}))
