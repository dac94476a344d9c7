"""The whole body learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.contracts import Tune

if TYPE_CHECKING:
    from nlptl.encoder.backbone import Backbone


class Full(Tune):
    """Every pretrained weight learns, in float32; heads learn at train.lr."""

    kind: Literal["full"] = "full"
    lr: float = Field(5e-5, gt=0, description="Peak learning rate of the top layer.")
    layer_decay: float = Field(1.0, gt=0, le=1, description="A layer's learning rate, as a share of the one's above.")

    def apply(self, backbone: Backbone) -> Backbone:
        """The same backbone, all of it learning.

        Raises:
            ModelError: the body is laid out like no known family, or is adapted already.
        """
        from nlptl.tune._rates import let_learn

        return let_learn(backbone, lr=self.lr, decay=self.layer_decay)
