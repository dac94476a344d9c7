"""The top layers learn, those below stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nlptl.contracts import Tune

if TYPE_CHECKING:
    from nlptl.encoder.backbone import Backbone


class TopLayers(Tune):
    """The pretrained weights of the top layers learn, in float32; heads learn at train.lr."""

    kind: Literal["top_layers"] = "top_layers"
    lr: float = Field(5e-5, gt=0, description="Peak learning rate of the top layer.")
    layers: Literal["auto"] | Annotated[int, Field(gt=0)] = Field(
        2, description="How many; auto: those above the layer whose solved head is best."
    )
    layer_decay: float = Field(1.0, gt=0, le=1, description="A layer's learning rate, as a share of the one's above.")

    def apply(self, backbone: Backbone) -> Backbone:
        """The same backbone, its top layers learning.

        Raises:
            ModelError: the body is laid out like no known family, has fewer layers, or is adapted already.
        """
        from nlptl.tune._rates import let_learn

        assert self.layers != "auto", "resolved before it is applied"
        return let_learn(backbone, lr=self.lr, layers=self.layers, decay=self.layer_decay)
