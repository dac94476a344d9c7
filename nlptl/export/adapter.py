"""The adapter alone, as stock PEFT loads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from nlptl.contracts import Export
from nlptl.errors import ModelError

if TYPE_CHECKING:
    from nlptl.saved import Model


class Adapter(Export):
    """The adapter as a stock PEFT folder; of a model with an adapter a domain or a task, one folder each.

    Heads and words stay with the model: PEFT's folder holds what changes the encoder, and nothing else.
    """

    kind: Literal["adapter"] = "adapter"
    answers: ClassVar[bool] = False

    def write(self, model: Model, folder: Path) -> None:
        """Write the adapter to ``folder``; of several, each in the folder that the list beside them names.

        Raises:
            ModelError: the model has no adapter, or it belongs on a body that earlier runs changed.
        """
        from nlptl.tune._adapter import save_adapter

        backbone = model.network.backbone
        if backbone.inherited is not None and backbone.inherited.weights:
            raise ModelError(
                f"this model's adapter belongs on weights that earlier runs changed, and would answer wrongly on plain "
                f"{backbone.located.name}. Export it to merged."
            )
        if model.shelf is not None:
            model.shelf.copy(folder)
        elif hasattr(backbone.body, "peft_config"):
            save_adapter(backbone.body, folder, backbone.located.name)
        else:
            raise ModelError("this model has no adapter: nothing in its encoder learned by LoRA. Export it to onnx.")
