"""What a recipe may ask a saved model to say of texts unlike anything that taught it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nlptl.registry import Settings

COLUMNS = ("anomaly", "anomalous")
"""What follows a task's name in a table of answers: how strange a text is, and whether that is beyond the threshold."""


class AnomalyScore(Settings):
    """Predictions say how strange a text is (higher: stranger), and whether it is beyond a threshold.

    The threshold is a quantile over rows that did not teach what scores them: of a solved head by its folds, of what is
    trained the rows that are held back from it. Of new rows like these, ``share`` are flagged in expectation. How many
    strange texts it flags depends on how strange they are, and no quantile says that.
    """

    score: Literal["energy", "mahalanobis"] = Field(
        "energy",
        description="energy of the logits, which needs nothing; mahalanobis: distance to the nearest label's mean.",
    )
    share: float = Field(0.05, gt=0, lt=1, description="Share of rows like those that teach that is flagged.")
