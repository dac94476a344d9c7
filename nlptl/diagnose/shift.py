"""Covariate, label or concept shift? Each with its corrected p value, and in words."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlptl.contracts import UNLABELLED
from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.diagnose._source_head import SourceHead
from nlptl.diagnose.concept_shift import DIFFERENT, UNKNOWN, concept_test, exchangeable
from nlptl.diagnose.covariate_shift import covariate_test
from nlptl.diagnose.label_shift import label_test
from nlptl.evaluate.compare import holm

WEIGHTS = {"covariate": 0.2, "label": 0.2, "concept": 0.6}
"""Shares of ``alpha`` that the tests begin with: a few labels of the target tell less than hundreds of texts."""

MEANS = {
    "covariate": "covariate shift (its texts are others)",
    "label": "label shift (labels come in other shares)",
    "concept": "concept shift (texts alike have other labels)",
}
UNTOLD = "cannot be known: texts differ, and only labels of the target drawn at random tell label shares from that"


class Shift(Diagnosis):
    """Which shifts there are between sources and target, and how sure that is."""

    kind: Literal["shift"] = "shift"
    alpha: float = Field(0.05, gt=0, lt=1, description="Chance of calling any shift where there is none.")
    fair_labels: bool = Field(True, description="The target's labels are a fair draw of its rows, not k a class.")
    draws: int = Field(999, ge=99, description="Shuffles and label draws behind each p value.")
    seed: int = Field(0, ge=0, description="Of folds, shuffles and draws.")

    def measure(self, view: View) -> dict[str, Any]:
        """``p`` (by shift, corrected; None: cannot be known), ``found``, ``words``, and ``accuracy``."""
        shown = view.sides()[1].labels
        labelled = shown is not None and bool(np.any(shown != UNLABELLED))
        head = SourceHead.of(view, seed=self.seed)
        raw, unknown = self._tests(head, labelled)
        corrected = dict(zip(raw, holm(list(raw.values()), [WEIGHTS[name] for name in raw]), strict=True))
        found = [name for name in MEANS if corrected.get(name, 1.0) <= self.alpha]
        return {
            "p": {name: corrected.get(name) for name in MEANS},
            "unknown": unknown,
            "found": found,
            "words": in_words(str(view.target), corrected, unknown, found),
            "accuracy": accuracies(head),
        }

    def _tests(self, head: SourceHead, labelled: bool) -> tuple[dict[str, float], dict[str, str]]:
        """(p values, reasons) of the tests that can and cannot be made."""
        unknown = {}
        raw = {"covariate": covariate_test(head, self.draws, self.seed)["p"]}
        shares = label_test(head, self.draws, self.seed)["p"]
        alike = exchangeable(raw["covariate"], shares)
        concept = concept_test(head, self.draws, self.seed, alike=alike) if labelled else None
        if raw["covariate"] > DIFFERENT:
            raw["label"] = shares
        elif concept is not None and self.fair_labels:
            raw["label"] = concept["intercept_p"]  # other texts alone move the answers: only labels tell of shares
        else:
            unknown["label"] = UNTOLD
        if concept is None:
            unknown["concept"] = UNKNOWN
        else:
            raw["concept"] = concept["p"]
        return raw, unknown


def accuracies(head: SourceHead) -> dict[str, float | int | None]:
    """The sources' head on the sources' held-out rows, and on those of the target that have a label."""
    right = head.probabilities.argmax(axis=1) == head.labels
    shown = head.here & (head.labels != UNLABELLED)
    return {
        "sources": float(right[~head.here].mean()),
        "target": float(right[shown].mean()) if shown.any() else None,
        "target_rows": int(shown.sum()),
    }


def in_words(target: str, p: dict[str, float], unknown: dict[str, str], found: list[str]) -> str:
    """The verdict as sentences."""
    if found:
        listed = " and ".join(f"{MEANS[name]}, p = {p[name]:.3f}" for name in found)
        said = f"{target}: {listed}."
    else:
        said = f"{target}: no sign of shift (smallest corrected p = {min(p.values()):.2f})."
    reasons = "".join(f" {name.capitalize()} shift {reason}." for name, reason in unknown.items())
    return said + reasons
