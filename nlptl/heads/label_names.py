"""Zero-shot: labels by what they are called, embedded by the same encoder as the texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from nlptl.contracts import Head
from nlptl.heads._called import Phrasings, labels_from_names, phrasings_of

if TYPE_CHECKING:
    import torch

    from nlptl.heads._evidence import ClosedForm, Evidence

PREFERRED = ("last+layers", "last")
"""Of what ``encoder.pool`` allows, what is read: there are no labels to choose by."""


class LabelNames(Head):
    """No labels needed: cosines to the labels' names or descriptions, calibrated on unlabelled texts."""

    kind: Literal["label_names"] = "label_names"
    names: Phrasings = None
    rounds: int = Field(
        1, ge=0, description="Steps towards what the unlabelled texts cluster by; 0: the names' directions as they are."
    )
    self_training: int = Field(
        3,
        ge=0,
        description="Rounds in which a student learns from the surest answers, to vote beside the names; 0: none.",
    )

    @model_validator(mode="before")
    @classmethod
    def _labels_are_those_named(cls, values: Any) -> Any:
        return labels_from_names(values)

    @property
    def closed_form(self) -> bool:
        """Always."""
        return True

    @property
    def needs_labels(self) -> bool:
        """Never."""
        return False

    @property
    def reads_unlabelled(self) -> bool:
        """For calibration."""
        return True

    def phrasings(self, labels: Sequence[str]) -> Sequence[Sequence[str]]:
        """What each label is called."""
        return phrasings_of(labels, self.names)

    def build(self, width: int, outputs: int) -> torch.nn.Module:
        """A linear map of unit vectors."""
        from nlptl.heads._nets import cosine_net

        return cosine_net(width, outputs)

    def solve(self, evidence: Evidence) -> ClosedForm:
        """Directions from the names, calibrated and refined on the unlabelled texts, where there are any."""
        import numpy as np

        from nlptl.heads._evidence import ClosedForm, as_logits
        from nlptl.heads._names import directions, label_vectors, refined, uncalibrated
        from nlptl.heads._nets import filled_cosine_net
        from nlptl.heads._student import self_trained

        reading = next((name for name in PREFERRED if name in evidence.names), next(iter(evidence.names)))
        toward = directions(label_vectors(evidence.names[reading]))
        texts = evidence.unlabelled.get(reading, np.empty((0, toward.shape[1])))
        chosen: dict[str, float] = {"calibrated on": len(texts)}
        scores = refined(toward, texts, rounds=self.rounds) if len(texts) > 1 else uncalibrated(toward)
        if self.self_training and len(texts) > 1:
            voted = self_trained(texts, scores, rounds=self.self_training)
            scores, chosen = (
                voted.scores,
                chosen | {"student's weight": voted.weight, "students agree": voted.agreement},
            )
        net = filled_cosine_net(as_logits(scores.weights), as_logits(scores.bias), np.zeros(toward.shape[1]))
        return ClosedForm(reading, net, chosen)
