"""What a recipe may ask of the curve of labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nlptl.registry import Settings


class ColdStart(Settings):
    """How right every rung and baseline is with so many labels a class of a target, on the same draws."""

    shots: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (0, 1, 2, 4, 8, 16, 32, 64), min_length=1, description="Labels a class, ascending; each draw holds the smaller."
    )
    seeds: int = Field(5, gt=0, description="Draws of labels at each point.")
