"""Rows that deserve a second look before anything is trained: likely wrong labels, copies, copies that conflict, and
texts unlike any that teaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nlptl.contracts import UNLABELLED, Ints
from nlptl.contracts.diagnose import View
from nlptl.diagnose.anomaly import Anomaly, knn_distance
from nlptl.diagnose.duplicates import Duplicates
from nlptl.diagnose.noise import Noise
from nlptl.diagnosing.found import Found
from nlptl.diagnosing.look import READING, Look
from nlptl.errors import DataError
from nlptl.recipe import Recipe

SHOWN = 20
"""Rows of each kind in a printed table; all are in the mapping."""
EXCERPT = 60
UNTOLD = "left out: no two labels teach, so that none can be told to be wrong; label some rows (nlptl suggest)"


class RowFindings(Found):
    """``noise``, ``conflicts``, ``duplicates`` and ``anomalies`` as lists of plain values, and how many rows were seen.

    Prints as a table. ``anomalies`` are the texts that do not teach, the strangest first by ``knn``: distance to the
    tenth nearest that does; ``mahalanobis``, ``energy``, ``max_softmax`` stand beside it (``nlptl.diagnose.anomaly``).
    Where no row teaches they are all texts, by the distance to the tenth nearest other one.
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
            yield f"unlike {self['against']}", row["id"], row["domain"], "–", f"{row['knn']:.3f}", _excerpt(row["text"])


def diagnose_rows(recipe: Recipe) -> RowFindings:
    """Look at the rows that teach or may be read, never at one that any turn scores.

    Without two labels among them, wrong labels cannot be looked for, and ``noise`` says so.

    Raises:
        DataError: no such row is left.
    """
    look = Look.at(recipe, blind=True)
    view, rows = _view(look)
    [labels] = view.need("labels")
    teaches = labels != UNLABELLED
    told_apart = len(np.unique(labels[teaches])) > 1
    noise: dict[str, Any] = Noise().measure(view) if told_apart else {"skipped": UNTOLD}
    copies = Duplicates(shown=10**6).measure(view)

    def told(place: int) -> dict[str, Any]:
        row = rows[place]
        label = int(labels[place])
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
        "against": "what teaches" if teaches.any() else "the other texts",
    })  # fmt: skip


def _strange(view: View) -> list[tuple[int, dict[str, float]]]:
    """The rows that do not teach, each with its scores against those that do, or against one another where none does,
    the strangest first."""
    features, labels = view.need("features", "labels")
    asked = labels == UNLABELLED
    if not asked.any():
        return []
    if asked.all():
        scores = {"knn": knn_distance(features, features, k=Anomaly().k + 1).tolist()}  # itself is the nearest
    else:
        scores = Anomaly().measure(replace(view, domain=np.where(asked, "asked", "seen"), target="asked"))
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
