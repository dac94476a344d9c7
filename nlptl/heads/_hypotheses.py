"""Zero-shot by entailment: each label's hypotheses, and what a cross-encoder makes of them.

After Yin, Hay & Roth 2019, "Benchmarking zero-shot text classification" (arXiv 1909.00161): a label fits a text that
entails "This text is about <label>.".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlptl.contracts import Floats
from nlptl.errors import ModelError, nearest
from nlptl.heads._names import Array, log_shares

if TYPE_CHECKING:
    from nlptl.encoder.cross import CrossEncoder


def hypotheses(phrasings: Sequence[Sequence[str]], templates: Sequence[str]) -> list[list[str]]:
    """For each label, every one of its phrasings in every template, in which it takes the place of ``{}``."""
    return [[template.replace("{}", name) for template in templates for name in of_label] for of_label in phrasings]


def meanings(outputs: Sequence[str], entailment: str | None, contradiction: str | None) -> tuple[int, int | None]:
    """Which outputs of a model mean entailment and contradiction, from what it calls them; None: it has no output for
    the latter. ``entailment`` and ``contradiction`` name them where that does not tell.

    Raises:
        ModelError: it is not clear which one means entailment, or one is named that is not there.
    """
    for asked in (entailment, contradiction):
        if asked is not None and asked not in outputs:
            hint = nearest(asked, outputs) or "."
            raise ModelError(f"the cross-encoder has no output {asked!r}{hint} Its outputs: {', '.join(outputs)}.")
    entails = [place for place, name in enumerate(outputs) if name.lower().startswith("entail")]
    if entailment is not None:
        entails = [outputs.index(entailment)]
    if len(entails) != 1 or len(outputs) < 2:
        raise ModelError(
            f"which output of the cross-encoder means entailment is not clear from their names: {', '.join(outputs)}; "
            "name it in the head's setting entailment."
        )
    against = [place for place, name in enumerate(outputs) if name.lower().startswith("contradict")]
    if contradiction is not None:
        against = [outputs.index(contradiction)]
    elif len(outputs) == 2:
        against = [1 - entails[0]]
    return entails[0], against[0] if len(against) == 1 else None


def label_scores(logits: Floats, of_label: Sequence[int], entailment: int, contradiction: int | None) -> Array:
    """(texts, hypotheses, outputs) logits → (texts, labels): the mean over a label's hypotheses of the logit of
    entailment, less that of contradiction where that is given.

    Args:
        of_label: (hypotheses,) the label of each, ascending, none left out.
    """
    logits = np.asarray(logits, dtype=np.float64)
    said = logits[..., entailment] - (0.0 if contradiction is None else logits[..., contradiction])
    labels = np.asarray(of_label)
    return np.stack([said[:, labels == label].mean(axis=1) for label in range(int(labels.max()) + 1)], axis=1)


def offsets(scores: Floats, *, multilabel: bool) -> Array:
    """(texts, labels) scores of unlabelled texts → (labels,) what to add, so that no label wins by its wording.

    Each label's mean is brought to the mean over labels: what all hypotheses share of a text's score, such as how
    readily the model sees entailment at all, stays. Labels that exclude one another are then given the log of their
    shares, as ``_names.log_shares`` estimates them.
    """
    scores = np.asarray(scores, dtype=np.float64)
    level = scores.mean() - scores.mean(axis=0)
    return level if multilabel else np.asarray(level + log_shares(scores + level))


@dataclass(frozen=True)
class EntailmentScores:
    """A cross-encoder with the hypotheses of some labels."""

    cross: CrossEncoder
    hypotheses: tuple[str, ...]
    of_label: tuple[int, ...]
    entailment: int
    contradiction: int | None

    @property
    def precision(self) -> str:
        """Of the cross-encoder's weights."""
        return self.cross.precision

    @property
    def identity(self) -> str:
        """Hash of weights, vocabulary and what is read of the outputs."""
        described = json.dumps(
            [self.cross.identity, self.hypotheses, self.of_label, self.entailment, self.contradiction]
        )
        return hashlib.sha256(described.encode()).hexdigest()

    def __call__(self, texts: Sequence[str]) -> Floats:
        """(texts, labels) scores in nats."""
        if not len(texts):
            return np.empty((0, max(self.of_label) + 1))
        return label_scores(
            self.cross.logits(texts, self.hypotheses), self.of_label, self.entailment, self.contradiction
        )
