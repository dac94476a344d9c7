"""Nothing in the body learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nlptl.contracts import Tune

if TYPE_CHECKING:
    from nlptl.encoder.backbone import Backbone


class Frozen(Tune):
    """The pretrained body as it is: texts are encoded once, and only heads learn."""

    kind: Literal["frozen"] = "frozen"

    @property
    def learns(self) -> bool:
        """Never."""
        return False

    def apply(self, backbone: Backbone) -> Backbone:
        """The same backbone, none of its parameters requiring gradients."""
        backbone.body.requires_grad_(False)
        return backbone
