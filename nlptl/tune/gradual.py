"""Layers begin to learn one after another, from the top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.contracts import Tune

if TYPE_CHECKING:
    from nlptl.encoder.backbone import Backbone


class Gradual(Tune):
    """Gradual unfreezing from the top, each layer at a smaller learning rate than the one above it.

    ULMFiT (Howard & Ruder 2018, arXiv 1801.06146, §3.2–3.3). The paper unfreezes a layer an epoch; here the layers
    begin at even distances over the first ``until`` of the run, so that one epoch will do.
    """

    kind: Literal["gradual"] = "gradual"
    lr: float = Field(5e-5, gt=0, description="Peak learning rate of the top layer.")
    until: float = Field(0.5, ge=0, le=1, description="Share of the run at which the lowest layer begins to learn.")
    layer_decay: float = Field(
        0.385, gt=0, le=1, description="A layer's learning rate, as a share of the one's above; the paper's is 1 / 2.6."
    )

    def apply(self, backbone: Backbone) -> Backbone:
        """The same backbone, all of it to learn in its time.

        Raises:
            ModelError: the body is laid out like no known family, or is adapted already.
        """
        from nlptl.tune._rates import let_learn

        return let_learn(backbone, lr=self.lr, decay=self.layer_decay, until=self.until)
