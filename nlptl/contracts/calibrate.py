"""What a recipe may ask of probabilities and of decisions made from them."""

from __future__ import annotations

from pydantic import Field

from nlptl.registry import Settings


class Calibrate(Settings):
    """Temperature, decision threshold and abstention of each domain.

    Of a solved head they are fitted on logits out of fold; of what is trained on the rows that are held back from it
    (``train.validation``, or the official validation rows), with one temperature for all domains. Where those chose the
    epoch too, the results say so. With ``train.refit`` these rows teach in the end; then it is fitted on the answers of
    the training before, which they did not teach. With ``adapt: label_shift`` the temperature is the one on whose scale
    the odds moved; with ``importance`` solved rows count as it weighs them. With ``transfer.choose: auto`` they are
    fitted on official validation rows of each target, for every row that teaches chooses there.
    """

    temperature: bool = Field(True, description="Divide logits by the number that makes them honest.")
    max_loss: float | None = Field(
        None, gt=0, lt=1, description="Catch the positive label where at most this share of others is; none: likeliest."
    )
    abstain: float | None = Field(None, gt=0, lt=1, description="Give no answer that is less probable than this.")
