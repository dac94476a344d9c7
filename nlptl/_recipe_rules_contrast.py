"""What training by contrasts asks of the sections beside it."""

from __future__ import annotations

from typing import Any

from nlptl._recipe_rules_labels import Problems


def contrasts_have_what_they_need(
    tune: Any, heads: Any, encoder: Any, adapt: Any, balance: Any, train: Any
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
    if balance.kind != "equal":
        yield ("balance", "kind"), f"{balance.kind} joins the loop, which contrasts do without; set equal."
    if tune.kind == "contrastive" and train.validation > 0:
        yield (
            ("train", "validation"),
            "holds rows back, and contrastive chooses on folds of all of them; set it to 0.",
        )
