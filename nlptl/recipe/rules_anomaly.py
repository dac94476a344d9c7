"""What a head that is to tell strange texts asks of its own settings and of the sections beside it."""

from __future__ import annotations

from typing import Any

from nlptl.recipe.rules_labels import Problems


def strange_texts_can_be_told(heads: Any, tune: Any, transfer: Any) -> Problems:
    """Whether each score that is asked for has logits or vectors to be read from, and one model to go with."""
    for task, head in heads.items():
        asked = getattr(head, "anomaly", None)
        if asked is None:
            continue
        place = ("heads", task, "anomaly")
        if head.multilabel:
            yield place, "is defined for labels that exclude one another; set anomaly: null, or multilabel: false."
        if transfer.choose is not None:
            yield (
                place,
                "rests on rows that did not choose what serves, and transfer.choose: auto lets every teaching row "
                "choose; leave one out.",
            )
        if transfer.through:
            yield place, "is not kept for a head that goes through domains in between; leave out transfer.through."
        if asked.score == "energy" and getattr(head, "distance", None) == "euclid":
            yield (
                (*place, "score"),
                "energy needs whole logits, and distance: euclid knows them up to a number a row; set mahalanobis.",
            )
        if asked.score == "mahalanobis" and getattr(tune, "per", None) is not None:
            yield (
                (*place, "score"),
                f"mahalanobis compares vectors of one body, and tune.per: {tune.per} makes many; set energy.",
            )
