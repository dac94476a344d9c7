"""What training by contrasts, and the curve of labels, ask of the sections beside them."""

from __future__ import annotations

from typing import Any

from nlptl.contracts.augment import Cutting, Mixing
from nlptl.recipe.rules_labels import Problems


def contrasts_have_what_they_need(
    tune: Any, heads: Any, encoder: Any, adapt: Any, augment: Any, balance: Any, train: Any
) -> Problems:
    """Whether a body that learns by contrasts is read by heads that can be solved on its vectors alone."""
    if tune.kind != "contrastive" and "contrastive" not in getattr(tune, "rungs", ()):
        return
    for task, head in heads.items():
        if head.kind != "linear":
            yield (
                ("heads", task, "kind"),
                f"{head.kind!r} cannot be solved anew on the vectors of a body that learns by contrasts; set linear.",
            )
        if head.multilabel:
            yield (
                ("heads", task, "multilabel"),
                "contrasts are between labels that exclude one another; use tune.kind: lora, or multilabel: false.",
            )
    if encoder.lexical is not None:
        yield ("encoder", "lexical"), f"{encoder.lexical} and contrastive cannot be asked together; set lexical: null."
    if encoder.pool == "mix":
        yield ("encoder", "pool"), "mix is learned by the loop, which contrasts do without; set auto."
    for place, way in enumerate(adapt):
        yield ("adapt", place), f"{way.kind} joins the loop, which contrasts do without; leave adapt empty."
    for place, way in enumerate(augment):
        if isinstance(way, Cutting | Mixing):
            yield (
                ("augment", place),
                f"{way.kind} changes the loop's batches, which contrasts do without; leave it out, or use eda.",
            )
    if balance.kind != "equal":
        yield ("balance", "kind"), f"{balance.kind} joins the loop, which contrasts do without; set equal."
    if tune.kind == "contrastive" and train.validation > 0:
        yield (
            ("train", "validation"),
            "holds rows back, and contrastive chooses on folds of all of them; set it to 0.",
        )


READ = ("precision", "dropout", "reuse", "validation", "refit")
"""What of ``train`` contrasts read, have as it may be set (no dropout, nothing reused), or have a rule of."""


def contrasts_are_not_the_loop(tune: Any, train: Any, evaluate: Any) -> Problems:
    """Whether nothing is set of the loop, which nothing here goes through: neither what learns by contrasts alone, as
    beside other rungs of ``auto`` it does not, nor a rival from scratch."""
    if tune.kind != "contrastive" or evaluate.scratch:
        return
    for name, field in type(train).model_fields.items():
        if name not in READ and getattr(train, name) != field.default:
            yield (
                ("train", name),
                "is read by the loop, which contrasts do without; leave it out, and set tune.steps, tune.rows or "
                "tune.lr.",
            )


def curves_have_labels_to_draw(evaluate: Any, transfer: Any, heads: Any) -> Problems:
    """Whether the curve of labels has rows to draw from, by class, and points in order."""
    cold = evaluate.cold_start
    if cold is None:
        return
    place = ("evaluate", "cold_start")
    if list(cold.shots) != sorted(set(cold.shots)):
        yield (*place, "shots"), "are not in ascending order, each once; write them so, such as [0, 1, 2, 4, 8]."
    if transfer.hold_out == 1:
        yield place, "draws labels of a target's unscored rows, and transfer.hold_out: 1 leaves none; lower it."
    for task, head in heads.items():
        if head.multilabel:
            yield place, f"draws labels class by class, and heads.{task} is multilabel; set cold_start: null."
