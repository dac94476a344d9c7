"""What heads that are solved in closed form, domain by domain, or calibrated, ask of the sections beside them."""

from __future__ import annotations

from typing import Any

from nlptl.contracts.adapt import Term
from nlptl.contracts.texts import TextHead
from nlptl.errors import RecipeError
from nlptl.recipe.rules_labels import Problems, sources


def per_domain_is_solved(heads: Any, tune: Any, transfer: Any, encoder: Any) -> Problems:
    """Whether per-domain heads stand on vectors that no training moves, and nothing else chooses each domain's head."""
    for task, head in heads.items():
        if getattr(head, "per", None) is None:
            if getattr(head, "spread", "shared") == "own":
                yield ("heads", task, "spread"), "own: is of heads of single domains; add per: domain, or leave it out."
            continue
        if tune.learns:
            yield (
                ("heads", task, "per"),
                f"domain: heads of single domains are solved over a frozen body, and tune.kind is {tune.kind}. Set "
                "tune: {kind: frozen}, or per: null.",
            )
        if encoder.pool == "mix":
            yield (
                ("heads", task, "per"),
                "domain: stands on fixed vectors, and pool: mix is trained; choose another pool.",
            )
        if transfer.choose is not None:
            yield (
                ("heads", task, "per"),
                "domain: transfer.choose: auto tries a head of each target's own by itself. Set per: null, or choose: "
                "null.",
            )


def learns_further(head: Any, tune: Any, encoder: Any, adapt: Any) -> bool:
    """Whether what ``head`` answers is still to learn once the linear heads are solved."""
    moves = tune.learns or encoder.pool == "mix" or any(isinstance(way, Term) for way in adapt)
    return moves or not head.closed_form


def holds_back_by_split(tune: Any) -> bool:
    """Whether only official validation rows are held back from what ``tune`` teaches, whatever train.validation is."""
    return bool(tune.kind == "contrastive" or getattr(tune, "per", None) == "domain")


def asks_unseen_rows(head: Any) -> str | None:
    """The first setting of ``head`` that rests on rows which taught nothing of what answers; None where none does."""
    return next((name for name in ("calibrate", "anomaly") if getattr(head, name, None) is not None), None)


def rungs_are_calibrated(transfer: Any, heads: Any) -> bool:
    """Whether each target's own rung is calibrated, which only official validation rows of the target can do."""
    asked = any(getattr(head, "calibrate", None) is not None for head in heads.values())
    return transfer.choose is not None and asked


def unseen_rows_are_held_back(heads: Any, tune: Any, adapt: Any, encoder: Any, train: Any, data: Any) -> Problems:
    """Whether the model that answers has logits of rows that did not teach it, where a head's setting rests on them."""
    held_back = train.validation > 0 or any(source.split is not None for _, source in sources(data))
    for task, head in heads.items():
        asking = asks_unseen_rows(head)
        if asking is not None and learns_further(head, tune, encoder, adapt) and not held_back:
            split = f"name data.split with validation rows, or set {asking}: null."
            yield (
                ("heads", task, asking),
                "of what is trained is fitted on rows that are held back from it; "
                + (split if holds_back_by_split(tune) else f"set train.validation, such as 0.1, or {split}"),
            )


def chosen_rungs_are_calibrated(heads: Any, tune: Any, transfer: Any, data: Any) -> Problems:
    """Whether each target may have labelled rows that neither teach its rung nor choose it."""
    if not rungs_are_calibrated(transfer, heads):
        return
    place = ("heads", next(name for name, head in heads.items() if getattr(head, "calibrate", None)), "calibrate")
    if all(source.split is None for _, source in sources(data)):
        yield (
            place,
            "with transfer.choose: auto every row that teaches chooses the rung too; name data.split with validation "
            "rows of each target, or leave one out.",
        )
    if transfer.target_labels != "all":
        yield (
            place,
            "with transfer.choose: auto reads labels of each target's validation rows; set transfer.target_labels: "
            "all, or leave one out.",
        )
    if tune.learns and getattr(tune, "per", None) != "domain":
        yield (
            place,
            f"with transfer.choose: auto is fitted on validation rows, which choose the epoch of tune.kind "
            f"{tune.kind}; set tune.kind: frozen, lora with per: domain, or leave one out.",
        )


def calibrated_as_asked(heads: Any, tune: Any, encoder: Any, adapt: Any) -> Problems:
    """Whether what is calibrated is one model, on rows like those it is for, and can decide its labels as asked."""
    towards = [way.kind for way in adapt if way.kind in ("importance", "label_shift")]
    for task, head in heads.items():
        settings = getattr(head, "calibrate", None)
        if settings is None:
            continue
        place = ("heads", task, "calibrate")
        if len(towards) > 1:
            yield place, "follows adapt: importance or adapt: label_shift, and not both together; leave one out."
        if "importance" in towards and learns_further(head, tune, encoder, adapt):
            yield (
                place,
                "counts rows as adapt: importance weighs them, and rows held back from what is trained have no weight; "
                "leave one out.",
            )
        if "importance" in towards and settings.max_loss is not None:
            yield (
                (*place, "max_loss"),
                "is a share of the target's rows, of which the flattened weights of adapt: importance say too little; "
                "set max_loss: null.",
            )
        if settings.max_loss is not None and (head.positive is None or head.multilabel):
            yield (
                (*place, "max_loss"),
                f"needs one label to be caught among labels that exclude one another; name it as heads.{task}.positive,"
                " or set max_loss: null.",
            )
        if settings.abstain is not None and head.multilabel:
            yield (*place, "abstain"), "is for labels that exclude one another; set abstain: null."


def frozen_heads(tune: Any, heads: Any, adapt: Any, encoder: Any) -> Problems:
    """Whether heads over fixed vectors are given such, and labels that exclude one another."""
    for task, head in heads.items():
        if not head.closed_form or head.kind == "linear":
            continue
        if tune.learns or adapt:
            what = f"tune.kind: {tune.kind}" if tune.learns else f"adapt: {adapt[0].kind}"
            yield (
                ("heads", task, "kind"),
                f"{head.kind} answers from the vectors of a frozen encoder, and {what} changes what is learned. Set "
                "the head's kind to linear or mlp, or tune.kind: frozen without adapt.",
            )
        if encoder.pool == "mix":
            yield (
                ("encoder", "pool"),
                f"mix is learned, and heads.{task} of kind {head.kind} answers from fixed vectors; set auto, or the "
                "head's kind to linear or mlp.",
            )
        if head.multilabel and not isinstance(head, TextHead):
            yield ("heads", task, "multilabel"), f"{head.kind} answers with one label a row; use linear or mlp."


def texts_are_read_alone(data: Any, heads: Any) -> Problems:
    """Whether heads that read texts themselves are given one text a row."""
    for task, head in heads.items():
        if isinstance(head, TextHead):
            for path, source in sources(data):
                if source.text_pair is not None:
                    yield (
                        (*path, "text_pair"),
                        f"makes pairs, and {head.kind} of heads.{task} sets one text beside each hypothesis. Drop it.",
                    )


def names_have_a_use(heads: Any) -> Problems:
    """Whether what the labels are called is read, and is said of exclusive labels."""
    for task, head in heads.items():
        if head.kind != "linear":
            continue
        if head.names is not None and head.prior is None:
            yield ("heads", task, "names"), "is read by prior: label_names only; add that, or take the names out."
        if head.prior is not None and head.multilabel:
            yield ("heads", task, "prior"), "label_names is for labels that exclude one another; set multilabel: false."


def names_are_of_labels(heads: Any) -> Problems:
    """Whether what labels are called is said of each label that is listed, and of no other."""
    for task, head in heads.items():
        try:
            if head.labels is not None:
                head.phrasings(head.labels)
        except RecipeError as error:
            yield ("heads", task, "names"), str(error).removeprefix("names: ")
