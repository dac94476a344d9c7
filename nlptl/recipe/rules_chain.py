"""What a chain asks: the run that comes first is used, has a folder of its own, and leaves one model."""

from __future__ import annotations

from typing import Any

from nlptl.recipe.rules_labels import Problems, sources

BEFORE = "before"
"""As ``encoder.model``: the run of section ``before``."""


def chain_is_used(before: Any, encoder: Any) -> Problems:
    """Whether what runs first is gone on from."""
    if before is not None and encoder.model != BEFORE:
        yield (
            ("encoder", "model"),
            f"{encoder.model!r} is read, so that {before.name!r} would run first for nothing; set it to before, or "
            "take section before out.",
        )
    if before is None and encoder.model == BEFORE:
        yield (
            ("encoder", "model"),
            "before is the run of section before, and there is none; write it (a recipe), or name a run folder.",
        )


def runs_have_their_own_folder(before: Any, name: Any) -> Problems:
    """Whether the two runs are told apart."""
    earlier, names = before, [name]
    while earlier is not None:
        if earlier.name in names:
            yield (
                ("before", "name"),
                f"{earlier.name!r} is the name of two runs of this chain, which would share a folder; name one anew.",
            )
            return
        names.append(earlier.name)
        earlier = earlier.before


def first_leaves_one_model(before: Any, encoder: Any) -> Problems:
    """Whether there is one model to go on from, in which something has learned that is taken."""
    if before is None:
        return
    if before.transfer.choose is not None:
        yield (
            ("before", "transfer", "choose"),
            f"{before.transfer.choose} leaves a model for each target, and one is gone on from; set it to null.",
        )
    fresh = before.before is None and before.encoder.model == "default" and not before.encoder.among
    if fresh and not before.tune.learns and "heads" not in encoder.take:
        yield ("before", "tune", "kind"), nothing_to_take(before)
    if before.transfer.protocol != "joint":
        yield (
            ("before", "transfer", "protocol"),
            f"{before.transfer.protocol} makes a model for each target, and one is gone on from; set joint.",
        )
    per = getattr(before.tune, "per", None)
    if per is not None and "adapter" in encoder.take:
        yield (
            ("before", "tune", "per"),
            f"{per}: gives each {per} an adapter, and one is gone on from; set it to null, or encoder.take: [heads].",
        )


def nothing_to_take(before: Any) -> str:
    """What is wrong with a run that goes on from the encoder of ``before``, in which nothing learns."""
    return (
        f"{before.tune.kind} lets nothing in the encoder learn, and the encoder is what is gone on with; let it learn, "
        "such as by lora, or take the heads: encoder.take: [body, heads]."
    )


def encoder_is_left_to_choose(encoder: Any, transfer: Any, evaluate: Any, data: Any) -> Problems:
    """Whether one encoder is to be chosen, by labels that may be seen."""
    if not encoder.among:
        return
    if encoder.model != "default":
        yield (
            ("encoder", "model"),
            f"{encoder.model!r} is set, and encoder.among asks to choose; take either out.",
        )
    if transfer.protocol != "joint":
        yield (
            ("encoder", "among"),
            f"one encoder is chosen by the labels that teach, and with transfer.protocol {transfer.protocol} those of "
            "each target teach the others; set joint, or name encoder.model.",
        )
    if evaluate.seeds > 1 and any(source.split is None for _, source in sources(data)):
        yield (
            ("encoder", "among"),
            "one encoder is chosen by the labels that teach, and each of evaluate.seeds scores rows that teach under "
            "another; set evaluate.seeds: 1, name data.split, or name encoder.model.",
        )


CHAIN_RULES = (encoder_is_left_to_choose, chain_is_used, runs_have_their_own_folder, first_leaves_one_model)
