"""Zero-shot: labels by what they are called, embedded by the same encoder as the texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.heads._called import Called

if TYPE_CHECKING:
    import torch

    from nlptl.heads._evidence import ClosedForm, Evidence


class LabelNames(Called):
    """No labels needed: cosines to the labels' names or descriptions, calibrated on unlabelled texts."""

    kind: Literal["label_names"] = "label_names"
    rounds: int = Field(
        1, ge=0, description="Steps towards what the unlabelled texts cluster by; 0: the names' directions as they are."
    )
    self_training: int = Field(
        3,
        ge=0,
        description="Rounds in which a student learns from the surest answers, to vote beside the names; 0: none.",
    )

    def build(self, width: int, outputs: int) -> torch.nn.Module:
        """A linear map of unit vectors."""
        from nlptl.heads._nets import cosine_net

        return cosine_net(width, outputs)

    def solve(self, evidence: Evidence) -> ClosedForm:
        """Directions from the names, calibrated and refined on the unlabelled texts, where there are any."""
        import numpy as np

        from nlptl.heads._evidence import ClosedForm, as_logits
        from nlptl.heads._names import directions, label_vectors
        from nlptl.heads._nets import filled_cosine_net
        from nlptl.heads._reading import unasked
        from nlptl.heads._student import zero_shot

        reading = unasked(evidence.names)
        toward = directions(label_vectors(evidence.names[reading]))
        texts = evidence.unlabelled.get(reading, np.empty((0, toward.shape[1])))
        chosen: dict[str, float] = {"calibrated on": len(texts)}
        voted = zero_shot(toward, texts, rounds=self.rounds, self_training=self.self_training)
        if self.self_training and len(texts) > 1:
            chosen |= {"student's weight": voted.weight, "students agree": voted.agreement}
        scores = voted.scores
        net = filled_cosine_net(as_logits(scores.weights), as_logits(scores.bias), np.zeros(toward.shape[1]))
        return ClosedForm(reading, net, chosen)
