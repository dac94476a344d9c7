"""No transfer at all: the encoder's architecture with random weights, all of which learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from nlptl.contracts import Tune

if TYPE_CHECKING:
    from nlptl.encoder.backbone import Backbone


class Scratch(Tune):
    """What a transferred model is compared with (``evaluate.scratch``); no kind of a recipe."""

    kind: str = "scratch"
    lr: float = Field(gt=0, description="Peak learning rate of every weight in the body.")

    def apply(self, backbone: Backbone) -> Backbone:
        """The same backbone with its weights drawn anew from torch's global generator, as its family draws them.

        Raises:
            ModelError: the body is laid out like no known family.
        """
        from transformers import AutoModel, PreTrainedModel

        from nlptl.tune._rates import let_learn

        assert isinstance(backbone.body, PreTrainedModel)
        made: Any = AutoModel  # untyped
        fresh = made.from_config(backbone.body.config)
        kept = set(backbone.body.state_dict())
        weights = {name: tensor for name, tensor in fresh.state_dict().items() if name in kept}
        backbone.body.load_state_dict(weights)
        return let_learn(backbone, lr=self.lr)
