"""Zero-shot by entailment: a cross-encoder is asked of every label whether the text entails it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from nlptl.contracts.texts import TextHead, texts_reading
from nlptl.heads._called import Called

if TYPE_CHECKING:
    import torch

    from nlptl.heads._evidence import ClosedForm, Evidence
    from nlptl.heads._hypotheses import EntailmentScores


class Entail(Called, TextHead):
    """No labels needed: a cross-encoder trained on inference says which label's hypothesis a text entails.

    After Yin, Hay & Roth 2019 (arXiv 1909.00161). Labels that exclude one another compete by their logits of
    entailment; each of several (``multilabel``) is set against contradiction. Tested on a small cross-encoder with
    weights set by hand, and on no real one.
    """

    kind: Literal["entail"] = "entail"
    model: str = Field(description="The cross-encoder: a hub name or a folder, with safetensors weights.")
    revision: str | None = Field(None, description="Commit or tag of a hub model.")
    templates: tuple[str, ...] = Field(
        ("This text is about {}.",), min_length=1, description="Hypotheses; {} is where the label's name goes."
    )
    entailment: str | None = Field(None, description="The output that means entailment; none: as the model calls it.")
    contradiction: str | None = Field(None, description="The output that means contradiction, likewise.")
    max_length: int = Field(256, ge=8, description="Tokens of text and hypothesis; the text is cut where it is longer.")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="Of the cross-encoder's weights.")

    @field_validator("templates")
    @classmethod
    def _have_a_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(f"{template!r} must hold {{}} once, where the label's name goes")
        return templates

    def scores(self, labels: Sequence[str], *, device: str = "cpu", precision: str | None = None) -> EntailmentScores:
        """The cross-encoder with the labels' hypotheses."""
        from nlptl.encoder.cross import CrossEncoder
        from nlptl.heads._hypotheses import EntailmentScores, hypotheses, meanings

        cross = CrossEncoder.load(
            self.model, self.revision, max_length=self.max_length, precision=precision or self.precision, device=device
        )
        entailment, contradiction = meanings(cross.outputs, self.entailment, self.contradiction)
        said = hypotheses(self.phrasings(labels), self.templates)
        return EntailmentScores(
            cross,
            tuple(each for of_label in said for each in of_label),
            tuple(place for place, of_label in enumerate(said) for _ in of_label),
            entailment,
            contradiction if self.multilabel else None,
        )

    def build(self, width: int, outputs: int) -> torch.nn.Module:
        """A linear map of the labels' scores."""
        import torch

        return torch.nn.Linear(max(2, outputs), outputs)

    def solve(self, evidence: Evidence) -> ClosedForm:
        """The scores as they are, and what to add to each label's, calibrated on the unlabelled texts."""
        import numpy as np

        from nlptl.heads._evidence import ClosedForm, as_logits
        from nlptl.heads._hypotheses import offsets
        from nlptl.heads._nets import filled_linear

        reading, labels = texts_reading(evidence.task.name), len(evidence.task.labels)
        scores = evidence.unlabelled[reading]
        bias = offsets(scores, multilabel=self.multilabel) if len(scores) > 1 else np.zeros(labels)
        identity = np.eye(labels)
        net = filled_linear(identity, bias) if self.multilabel else filled_linear(as_logits(identity), as_logits(bias))
        return ClosedForm(reading, net, {"calibrated on": len(scores)})
