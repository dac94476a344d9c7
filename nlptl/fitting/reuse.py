"""Whether what frozen lower layers say of a training's texts is kept, and the record of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psutil

from nlptl.encoder._lower import FAMILIES, frozen_layers, size_of, with_lower

if TYPE_CHECKING:
    from nlptl.encoder.tokens import Tokens
    from nlptl.fitting.setting import Setting
    from nlptl.model import Network

log = logging.getLogger("nlptl")

MEMORY_SHARE = 0.25
"""Of the free memory that a training's texts may take, shared by all processes."""


def with_reuse(setting: Setting, turn: str, network: Network, tokens: Tokens) -> Tokens:
    """``tokens``, with what the frozen lower layers say of them where that pays and fits; told in the account."""
    backbone, recipe = network.backbone, setting.recipe
    layers = frozen_layers(backbone.body)
    wanted = recipe.train.reuse and recipe.train.epochs > 1 and len(tokens)
    if not wanted or (layers == 0 and not _upper_only(setting)):
        return tokens
    size = size_of(backbone, tokens, network.readings)
    room = psutil.virtual_memory().available * MEMORY_SHARE / setting.accelerator.num_processes
    why_not = None
    if layers == 0:
        family = backbone.located.name
        why_not = f"nothing of {family} can be run apart below what learns (known: {', '.join(FAMILIES)})"
    elif size > room:
        why_not = f"{size / 2**20:.0f} MB are more than {MEMORY_SHARE:.0%} of the free memory"
    entry = {"turn": turn, "texts": len(tokens), "layers": layers, "mb": round(size / 2**20, 1), "why not": why_not}
    setting.account.reuse.append(entry)
    if why_not is not None:
        log.info("frozen lower layers of turn %s are run again in every epoch: %s", turn, why_not)
        return tokens
    with setting.accelerator.autocast():
        return with_lower(backbone, tokens, network.readings)


def _upper_only(setting: Setting) -> bool:
    """Whether the recipe lets a number of top layers, or chosen ones, learn."""
    return getattr(setting.recipe.tune, "layers", "all") != "all"
