"""A network whose adapter is merged into the encoder's weights."""

from __future__ import annotations

from copy import deepcopy

from nlptl.errors import ModelError
from nlptl.model import Network
from nlptl.saved import Model
from nlptl.tune._task_bank import TaskShelf


def merged(model: Model, kind: str) -> Network:
    """A copy of the model's network in float32 on the CPU, its adapter merged: W + s B A in place of W.

    Raises:
        ModelError: each domain has an adapter of its own, so that there is no one encoder.
    """
    if model.shelf is not None:
        whose = "task" if isinstance(model.shelf, TaskShelf) else "domain"
        raise ModelError(
            f"each {whose} of this model has an adapter of its own, so there is no one encoder to export to {kind}; "
            f"export to adapter, which writes each {whose}'s."
        )
    network = deepcopy(model.network).cpu().float()
    body = network.backbone.body
    if hasattr(body, "peft_config"):
        from peft import PeftModel

        assert isinstance(body, PeftModel)
        network.backbone.body = body.merge_and_unload()
    return network.eval().requires_grad_(False)
