"""Rows that deserve a second look before anything is trained: likely wrong labels, copies, copies that conflict, and
texts unlike any that teaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nlptl.contracts import UNLABELLED, Ints
from nlptl.contracts.diagnose import View
from nlptl.diagnose.anomaly import Anomaly
from nlptl.diagnose.duplicates import Duplicates
from nlptl.diagnose.noise import Noise
from nlptl.diagnosing.found import Found
from nlptl.diagnosing.look import READING, Look
from nlptl.errors import DataError
from nlptl.recipe import Recipe

SHOWN = 20
"""Rows of each kind in a printed table; all are in the mapping."""
EXCERPT = 60


class RowFindings(Found):
    """``noise``, ``conflicts``, ``duplicates`` and ``anomalies`` as lists of plain values, and how many rows were seen.

    Prints as a table. ``anomalies`` are the texts that do not teach, the strangest first by ``knn``: distance to the
    tenth nearest that does; ``mahalanobis``, ``energy``, ``max_softmax`` stand beside it (``nlptl.diagnose.anomaly``).
    """

    columns = ("found", "id", "domain", "label", "likely", "text")

    def __repr__(self) -> str:
        noise = self["noise"] if isinstance(self["noise"], list) else ()
        return (
            f"RowFindings({self['rows']} rows: {len(noise)} labels likely wrong, {len(self['conflicts'])} texts with "
            f"two labels, {self['copies']} copies)"
        )

    def cells(self) -> Iterator[tuple[str, ...]]:
        """At most ``SHOWN`` of each kind, with ``columns``."""
        if isinstance(self["noise"], list):
            for row in self["noise"][:SHOWN]:
                yield "label likely wrong", *_cells(row), row["suggested"], _excerpt(row["text"])
        else:
            yield "label likely wrong", "", "", "", "", self["noise"]["skipped"]
        for name, said in (("conflicts", "one text, two labels"), ("duplicates", "copies")):
            for group in self[name][:SHOWN]:
                labels = " / ".join(dict.fromkeys(row["label"] or "–" for row in group))
                ids = ", ".join(row["id"] for row in group[:3]) + (" …" if len(group) > 3 else "")
                domains = " / ".join(dict.fromkeys(row["domain"] for row in group))
                yield said, ids, domains, labels, "", _excerpt(group[0]["text"])
        for row in self["anomalies"][:SHOWN]:
            yield "unlike what teaches", row["id"], row["domain"], "–", f"{row['knn']:.3f}", _excerpt(row["text"])


def diagnose_rows(recipe: Recipe) -> RowFindings:
    """Look at the rows that teach or may be read, never at one that any turn scores.

    Raises:
        DataError: no such row is left, or their labels do not differ.
    """
    look = Look.at(recipe)
    view, rows = _view(look)
    noise, copies = Noise().measure(view), Duplicates(shown=10**6).measure(view)

    def told(place: int) -> dict[str, Any]:
        labels, row = view.labels, rows[place]
        label = UNLABELLED if labels is None else int(labels[place])
        corpus = look.corpus
        return {
            "id": str(corpus.ids[row]), "domain": str(corpus.domains[row]), "text": str(corpus.texts[row]),
            "label": None if label == UNLABELLED else look.task.labels[label],
        }  # fmt: skip

    wrong: Any = noise
    if "skipped" not in noise:
        suggested = [look.task.labels[label] for label in noise["suggested"]]
        wrong = [told(place) | {"suggested": label} for place, label in zip(noise["rows"], suggested, strict=True)]
    groups = {name: [[told(place) for place in group] for group in copies[name]] for name in ("groups", "conflicts")}
    return RowFindings({
        "rows": len(rows), "copies": copies["copies"], "noise": wrong,
        "conflicts": groups["conflicts"], "duplicates": groups["groups"],
        "anomalies": [told(place) | scores for place, scores in _strange(view)],
    })  # fmt: skip


def _strange(view: View) -> list[tuple[int, dict[str, float]]]:
    """The rows that do not teach, each with its scores against those that do, the strangest first."""
    assert view.labels is not None
    asked = view.labels == UNLABELLED
    if asked.all() or not asked.any():
        return []
    sides = replace(view, domain=np.where(asked, "asked", "seen"), target="asked")
    scores = Anomaly().measure(sides)
    rows = [dict(zip(scores, values, strict=True)) for values in zip(*scores.values(), strict=True)]
    found = list(zip(np.flatnonzero(asked).tolist(), rows, strict=True))
    return sorted(found, key=lambda row: -row[1]["knn"])


def _view(look: Look) -> tuple[View, Ints]:
    """The rows, their vectors and groups; labels show only of rows that teach."""
    scored = np.concatenate([turn.score for turn in look.turns])
    teach = np.unique(np.concatenate([turn.teach for turn in look.turns]))
    rows = np.unique(np.concatenate([teach, *(turn.unlabelled for turn in look.turns)]))
    rows = rows[~np.isin(rows, scored)]
    if not len(rows):
        raise DataError("every row is scored in some turn, and scored rows are not looked at; lower transfer.hold_out.")
    reading, labels = READING[look.recipe.encoder.pool], look.corpus.encoded[look.task.name][rows].astype(np.int64)
    labels[~np.isin(rows, teach)] = UNLABELLED
    return View(
        features=look.vectors(rows, reading).of(rows, reading), labels=labels, domain=look.corpus.domains[rows],
        groups=look.signatures.groups(rows, near=look.recipe.transfer.near),
    ), rows  # fmt: skip


def _cells(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["id"], row["domain"], row["label"]


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= EXCERPT else flat[: EXCERPT - 1] + "…"
