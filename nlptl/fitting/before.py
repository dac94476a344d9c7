"""What the encoder learns from the target's texts alone, before heads are solved on the vectors that it then gives."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn

from nlptl.contracts import Ints
from nlptl.contracts.adapt import Before, Context
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.encoder.tokens import Tokens, tokenize
from nlptl.fitting.corpus import Vectors
from nlptl.fitting.folder import file_name
from nlptl.fitting.setting import Setting
from nlptl.fitting.tasks import per_task
from nlptl.progress import bar
from nlptl.saved.taken import load_backbone
from nlptl.train.gather import first_ahead
from nlptl.train.guessing import Guessing
from nlptl.train.pretrain import train_guessing
from nlptl.transfer.needs import target_texts
from nlptl.transfer.plan import Turn

log = logging.getLogger("nlptl")


def learning_body(setting: Setting, precision: str) -> Backbone:
    """The encoder with what the recipe lets learn, at what it has learned so far; pretrained weights in ``precision``.

    What is fresh is drawn from torch's global generator.
    """
    backbone = load_backbone(setting.recipe.encoder, device=setting.accelerator.device)
    backbone = backbone if per_task(setting.recipe) else setting.recipe.tune.apply(backbone)
    backbone.freeze(precision)
    with torch.no_grad():
        for name, weights in setting.learned.items():
            backbone.body.get_parameter(name).copy_(weights)
    return backbone


def before_solving(setting: Setting, turn: Turn, held_back: Ints, *, seed: int) -> Setting:
    """``setting`` with the encoder and vectors of ``turn`` after the recipe's steps before the heads; as it is where
    there are none."""
    ways = [way for way in setting.recipe.adapt if isinstance(way, Before)]
    if not ways:
        return setting
    torch.manual_seed(seed)
    backbone = learning_body(setting, setting.precision)
    if not setting.recipe.train.dropout:
        backbone.switch_off_dropout()
    rows = target_texts(turn, setting.corpus.domains, kind=f"adapt: {ways[0].kind}")
    guess = _Guess(setting, turn, backbone, tokens_of(setting, backbone, rows), seed)
    said = [way.before(Context(backbone, len(rows), guess)) for way in ways]
    for words in said:
        log.info("turn %s, seed %d: %s", turn.name, seed, words)
    if not any(way.comes_first for way in ways):
        return replace(setting, said="; ".join(said))
    named = backbone.body.named_parameters()
    learned = {name: weights.detach().clone() for name, weights in named if weights.requires_grad}
    return _encoded(replace(setting, learned=learned, said="; ".join(said)), turn, held_back)


def tokens_of(setting: Setting, backbone: Backbone, rows: Ints) -> Tokens:
    """The texts of ``rows`` as tokens."""
    return tokenize(backbone, *setting.corpus.texts_of(rows))


@dataclass(frozen=True)
class _Guess:
    """Trains the encoder of a turn to guess; the contract's ``Guess``."""

    setting: Setting
    turn: Turn
    backbone: Backbone
    tokens: Tokens
    seed: int

    def __call__(
        self, head: nn.Module, *, rate: float, epochs: int, max_steps: int | None, lr: float
    ) -> Sequence[float]:
        setting, name = self.setting, file_name(self.turn.name)
        asked = {"epochs": epochs, "max_steps": max_steps, "lr": lr, "head_lr": None, "accumulate": 1}
        with bar(f"guess {self.turn.name}") as progress:
            return train_guessing(
                Guessing(self.backbone, head, self.tokens, rate=rate, seed=self.seed),
                settings=setting.recipe.train.model_copy(update=asked),
                folder=setting.folder.checkpoints / f"{self.seed}-{name}-before",
                fingerprint=setting.fingerprint,
                resume=setting.resume,
                accelerator=setting.accelerator,
                log=lambda entry: setting.folder.log({"seed": self.seed, "turn": f"{self.turn.name} before"} | entry),
                progress=progress,
            )


def _encoded(setting: Setting, turn: Turn, held_back: Ints) -> Setting:
    """``setting`` with the frozen encoder as it has become and its vectors of the turn's rows and those held back,
    which the store keeps by the weights that made them."""
    recipe, corpus = setting.recipe, setting.corpus
    backbone = learning_body(setting, resolve_precision(recipe.encoder.precision, setting.accelerator.device))
    backbone = backbone.requires_grad_(False).eval()
    # Once the rows held back have chosen, ``refit`` has their views teach too.
    views = corpus.views_of(np.union1d(turn.teach, held_back) if recipe.train.refit else turn.teach)
    read = (turn.teach, views, held_back, turn.validate, turn.score, turn.unlabelled)
    used = np.unique(np.concatenate(read))
    rows = np.intersect1d(setting.vectors.rows, used)
    texts, pairs = corpus.texts_of(rows)
    store = FeatureStore.of(backbone) if recipe.encoder.cache else None
    wanted = tuple(setting.vectors.readings)
    with bar("encode") as progress:
        work = partial(encode, backbone, texts, pairs, readings=wanted, store=store, progress=progress)
        readings = first_ahead(work, first=setting.folder.main)
    return replace(setting, backbone=backbone, vectors=Vectors(rows, readings))
