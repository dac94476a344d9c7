"""A model whose weights were moved at random, for tests of what is saved and taken."""

from pathlib import Path
from typing import Any

import torch

from nlptl.contracts import Task
from nlptl.encoder.backbone import Backbone
from nlptl.heads import Linear
from nlptl.model import Network, TaskHead
from nlptl.recipe import Encoder
from nlptl.saved import Model


def task(*labels: str, **settings: Any) -> Task:
    return Task("spam", Linear(**settings), labels)


def made(encoder: Path, tune: Any = None, labels: tuple[str, ...] = ("ham", "spam")) -> Model:
    """A model whose body has learned by ``tune``: its weights moved at random, its head random."""
    torch.manual_seed(0)
    backbone = Backbone.load(Encoder(model=str(encoder), max_length=24))
    if tune is not None:
        tune.apply(backbone)
        with torch.no_grad():
            for name, parameter in backbone.body.named_parameters():
                if "lora_B" in name or name in backbone.rates:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    head = TaskHead.fresh(task(*labels), "last", backbone.width)
    return Model(Network(backbone.freeze("float32"), {"spam": head}), None, {"text": "text"})
