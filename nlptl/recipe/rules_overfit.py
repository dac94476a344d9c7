"""What a recipe must hold for its means against overfitting: rules as in ``recipe.rules``."""

from typing import Any

from nlptl.contracts.adapt import Term
from nlptl.contracts.augment import Cutting, Mixing
from nlptl.recipe.rules_heads import learns_further
from nlptl.recipe.rules_labels import Problems, none_held_back


def mixout_has_a_start(tune: Any, train: Any) -> Problems:
    """Whether mixout has pretrained weights that learn."""
    if train.mixout > 0 and tune.kind in ("frozen", "lora"):
        yield (
            ("train", "mixout"),
            f"puts pretrained weights that learn back to their start, and tune.kind {tune.kind} leaves them as they "
            "are; set it to 0, or tune.kind to full, top_layers or gradual.",
        )


def adapters_apart_are_bare(tune: Any, train: Any, augment: Any) -> Problems:
    """Whether adapters of each domain's or task's own are trained without what is made for one adapter."""
    per = getattr(tune, "per", None)
    if per is None:
        return
    if train.average is not None:
        yield ("train", "average"), f"is not taken with tune.per: {per}; set it to null."
    if augment:
        yield ("augment",), f"{augment[0].kind} is not made with tune.per: {per}; leave augment empty."


def augmented_once(augment: Any, train: Any) -> Problems:
    """Whether each kind is named once, and one thing at most makes a second pass of a batch."""
    for place, way in enumerate(augment):
        if way.kind in [other.kind for other in augment[:place]]:
            yield ("augment", place), f"{way.kind} is there twice; keep one."
    acting = [(place, way) for place, way in enumerate(augment) if isinstance(way, Cutting | Mixing)]
    for place, way in acting[1:]:
        yield ("augment", place), f"{way.kind} and {acting[0][1].kind} both change what a batch shows; keep one."
    if acting and train.r_drop > 0:
        place, way = acting[0]
        yield ("augment", place), f"{way.kind} and train.r_drop both make a batch's passes; set train.r_drop to 0."


def augmented_has_a_use(augment: Any, tune: Any, heads: Any, encoder: Any) -> Problems:
    """Whether something is trained that a view of a batch can teach."""
    trained = tune.learns or encoder.pool == "mix" or any(head.kind == "mlp" for head in heads.values())
    for place, way in enumerate(augment):
        if isinstance(way, Cutting) and not tune.learns:
            yield (
                ("augment", place),
                f"{way.kind} leaves out parts of texts while the body learns, and tune.kind is {tune.kind}. Set "
                "tune.kind: lora, or use eda.",
            )
        if isinstance(way, Mixing) and not trained:
            yield (
                ("augment", place),
                f"{way.kind} mixes vectors while a head is trained, and every head here is solved. Set tune.kind: lora,"
                " a head's kind to mlp, or use eda.",
            )


def augmented_is_judged(
    augment: Any, data: Any, tune: Any, heads: Any, encoder: Any, adapt: Any, transfer: Any, train: Any
) -> Problems:
    """Whether rows can say if augmentation gains, and nothing counts its views as evidence."""
    if not augment:
        return
    trained = any(learns_further(head, tune, encoder, adapt) for head in heads.values())
    if trained and none_held_back(data, train):
        yield (
            ("augment",),
            "is kept where teaching rows held back say so; set train.validation, such as 0.2, or data.split.",
        )
    if transfer.choose is not None:
        yield ("augment",), "is not tried by transfer.choose: auto; leave one of them out."
    for task, head in heads.items():
        if head.closed_form and head.kind != "linear":
            yield ("augment",), f"does not teach heads.{task}, a {head.kind}; set its kind to linear or mlp."
        if getattr(head, "per", None) is not None:
            yield (
                ("augment",),
                f"views are no evidence of their own, and heads.{task}.per would count them; leave one out.",
            )


def batch_norm_sees_one_side(heads: Any, adapt: Any) -> Problems:
    """Whether the statistics of a batch are those of the rows that teach."""
    terms = [way.kind for way in adapt if isinstance(way, Term)]
    for task, head in heads.items():
        if getattr(head, "batch_norm", False) and terms:
            yield (
                ("heads", task, "batch_norm"),
                f"norms by the rows of a batch, and {terms[0]} compares batches of two sides; set it to false.",
            )


def refit_follows_a_choice(tune: Any, heads: Any, encoder: Any, adapt: Any, train: Any, evaluate: Any) -> Problems:
    """Whether rows are held back from a training that can be made once more on all of them."""
    if not train.refit:
        return
    place = ("train", "refit")
    if tune.kind == "contrastive" or getattr(tune, "per", None) == "domain":
        kind = "tune.kind contrastive" if tune.kind == "contrastive" else "tune.per: domain"
        yield place, f"has nothing to do: with {kind} no rows are held back, all teach at once; set it to false."
        return
    if not any(learns_further(head, tune, encoder, adapt) for head in heads.values()):
        yield place, "has nothing to do: every head is solved, by all rows; set it to false, or tune.kind to lora."
        return
    if train.validation == 0:
        yield (
            place,
            "trains on all rows for as long as held-back ones have chosen, and none are held back; set "
            "train.validation, such as 0.2, or refit: false.",
        )
    for name in ("solo", "scratch"):
        if getattr(evaluate, name):
            yield (
                place,
                f"trains ours once more, and evaluate.{name} is trained once, on fewer rows; set one of them to false.",
            )


OVERFIT_RULES = (
    mixout_has_a_start,
    adapters_apart_are_bare,
    augmented_once,
    augmented_has_a_use,
    augmented_is_judged,
    batch_norm_sees_one_side,
    refit_follows_a_choice,
)
