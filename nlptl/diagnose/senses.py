"""Which words mean something else in the target: their surroundings moved, or their pull on the label turned round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nlptl.contracts import UNLABELLED, Floats, Ints
from nlptl.contracts.diagnose import Diagnosis, View
from nlptl.diagnose._pulls import difference_p, drift, log_odds_ratios, moved, presence, shrunk
from nlptl.encoder.spans import words_of
from nlptl.evaluate.compare import holm

UNKNOWN = "cannot be known: fewer than two labels of the target may be read; raise transfer.target_labels"
CONTEXT = 50
"""Characters of evidence on each side of a word."""


class Senses(Diagnosis):
    """Words that move (light: weight or lamp), and words whose pull on the label flips (unpredictable: plot or car)."""

    kind: Literal["senses"] = "senses"
    alpha: float = Field(
        0.01, gt=0, lt=1, description="Chance that any word is named where none moved; same for flips."
    )
    least: int = Field(10, gt=1, description="Texts on each side that a word must be in to be looked at.")
    draws: int = Field(499, ge=99, description="Shuffles of a word's occurrences between the sides.")
    evidence: int = Field(2, ge=0, description="Texts shown a side for each word that is found.")
    seed: int = Field(0, ge=0, description="Of the shuffles.")

    def measure(self, view: View) -> dict[str, Any]:
        """``moved``: words with ``effect``, corrected ``p`` and evidence, the furthest first; ``flipped``: words with
        their pull on ``label`` in nats on each side, corrected ``p`` and evidence, the surest first, or ``unknown``
        where the target shows no labels; ``looked_at``: how many words each was.
        """
        domain, target, texts = view.need("domain", "target", "texts")
        view.sides()
        here = np.asarray(domain == target)
        far, words = self._moved(view, here, texts)
        turned, labelled = self._flipped(view, here, texts)
        return {"moved": far, "flipped": turned, "looked_at": {"moved": words, "flipped": labelled}}

    def _moved(
        self, view: View, here: npt.NDArray[np.bool_], texts: npt.NDArray[Any]
    ) -> tuple[list[dict[str, Any]], int]:
        sides: dict[str, tuple[Ints, Floats, Ints, Floats]] = {}
        for word, (rows, vectors) in (view.words or {}).items():
            there = here[rows]
            if min(there.sum(), (~there).sum()) >= self.least:
                sides[word] = (rows[~there], vectors[~there], rows[there], vectors[there])
        if not sides:
            return [], 0
        common = drift([(a, b) for _, a, _, b in sides.values()])
        rng = np.random.default_rng((self.seed, 4))
        tested = [moved(a, b - common, draws=self.draws, rng=rng) for _, a, _, b in sides.values()]
        found = []
        for (word, (rows, a, rows_there, b)), (effect, _), p in zip(
            sides.items(), tested, holm([p for _, p in tested]), strict=True
        ):
            if p <= self.alpha:
                axis = b.mean(axis=0) - a.mean(axis=0)
                found.append({
                    "word": word, "effect": effect, "p": p,
                    "sources": self._shown(word, texts, rows[np.argsort(a @ axis, kind="stable")]),
                    "target": self._shown(word, texts, rows_there[np.argsort(-(b @ axis), kind="stable")]),
                })  # fmt: skip
        return sorted(found, key=lambda row: -row["effect"]), len(sides)

    def _flipped(self, view: View, here: npt.NDArray[np.bool_], texts: npt.NDArray[Any]) -> tuple[Any, int]:
        labels = view.labels if view.labels is not None else np.full(len(here), UNLABELLED)
        known = labels != UNLABELLED
        if any(len(np.unique(labels[known & side])) < 2 for side in (here, ~here)):
            return {"unknown": UNKNOWN}, 0
        rows = np.flatnonzero(known)
        has = [{word for word, _, _ in words_of(str(texts[row]))} for row in rows]
        words = sorted(set().union(*has))
        present, there = presence(has, words), here[rows]
        often = np.minimum(present[there].sum(axis=0), present[~there].sum(axis=0)) >= self.least
        present, words = present[:, often], [word for word, kept in zip(words, often, strict=True) if kept]
        if not words:
            return [], 0
        classes = np.intersect1d(labels[known & here], labels[known & ~here]).tolist()
        both = sorted({*labels[known].tolist()})
        asked = classes[-1:] if len(both) == 2 else classes  # of two labels, one's pull is minus the other's
        found = _flips(present, there, labels[rows], asked)
        named = [{**row, "word": words[row["column"]]} for row in found if row["p"] <= self.alpha and row["turned"]]
        return [self._told(view, row, rows, present, there, texts) for row in sorted(named, key=_surest)], len(words)

    def _told(
        self, view: View, row: dict[str, Any], rows: Ints, present: npt.NDArray[np.bool_],
        there: npt.NDArray[np.bool_], texts: npt.NDArray[Any],
    ) -> dict[str, Any]:  # fmt: skip
        """One flipped word in plain values, with texts of each side that have it and go the way it pulls there."""
        [labels] = view.need("labels")
        yes = labels[rows] == row["label"]
        word, names = row["word"], view.label_names
        shown = {}
        for side, at, pull in (("sources", ~there, row["pull_sources"]), ("target", there, row["pull_target"])):
            goes = yes if pull > 0 else ~yes
            shown[side] = self._shown(word, texts, rows[at & present[:, row["column"]] & goes])
        label = row["label"] if names is None else str(names[row["label"]])
        kept = {name: row[name] for name in ("pull_sources", "pull_target", "p")}
        return {"word": word, "label": label, **kept, **shown}

    def _shown(self, word: str, texts: npt.NDArray[Any], rows: Ints) -> list[str]:
        return [around(str(texts[row]), word) for row in rows[: self.evidence].tolist()]


def _surest(row: dict[str, Any]) -> float:
    return float(row["p"])


def _flips(
    present: npt.NDArray[np.bool_], there: npt.NDArray[np.bool_], labels: Ints, asked: Sequence[int]
) -> list[dict[str, Any]]:
    """A row a word and label: pulls on both sides, the p value of their being equal, Holm over all, and whether the
    shrunk pulls point in different ways."""
    rows: list[dict[str, Any]] = []
    for label in asked:
        sides = [log_odds_ratios(present[at], labels[at] == label) for at in (~there, there)]
        raw = difference_p(*sides[0], *sides[1])
        pulls = [shrunk(*side) for side in sides]
        rows += [
            {"column": column, "label": int(label), "pull_sources": float(pulls[0][column]),
             "pull_target": float(pulls[1][column]), "raw": float(raw[column]),
             "turned": bool(pulls[0][column] * pulls[1][column] < 0)}
            for column in range(present.shape[1])
        ]  # fmt: skip
    return [{**row, "p": p} for row, p in zip(rows, holm([row["raw"] for row in rows]), strict=True)]


def around(text: str, word: str) -> str:
    """``word`` in ``text`` with at most ``CONTEXT`` characters on each side, blanks made single."""
    flat = " ".join(text.split())
    start, end = next(((start, end) for found, start, end in words_of(flat) if found == word), (0, 0))
    low, high = max(0, start - CONTEXT), min(len(flat), end + CONTEXT)
    return ("…" if low else "") + flat[low:high] + ("…" if high < len(flat) else "")
