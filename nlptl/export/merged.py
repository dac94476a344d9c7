"""One encoder with everything that was learned in it, as transformers and sentence-transformers load it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nlptl.contracts import Export

if TYPE_CHECKING:
    from nlptl.encoder.backbone import Backbone
    from nlptl.saved import Model

ENCODER = "encoder"


class Merged(Export):
    """The encoder with its adapter merged, and the heads beside it: a model folder that needs no other encoder."""

    kind: Literal["merged"] = "merged"

    def write(self, model: Model, folder: Path) -> None:
        """Write ``folder/encoder``, which ``AutoModel`` and ``SentenceTransformer`` load, and the model around it."""
        from nlptl.encoder._inherited import Inherited
        from nlptl.encoder.backbone import Backbone
        from nlptl.export._merge import merged
        from nlptl.model import Network
        from nlptl.saved import Model
        from nlptl.saved.writing import write_model

        network = merged(model, self.kind)
        encoder = folder / ENCODER
        _write_encoder(network.backbone, encoder)
        settings = network.backbone.settings
        own = settings.model_copy(update={"model": str(encoder), "revision": None, "prompt": network.backbone.prompt})
        backbone, inherited = Backbone.load(own), model.network.backbone.inherited
        if inherited is not None:
            backbone.inherit(Inherited({}, inherited.parents))  # their weights are in the encoder already
        whole = Network(backbone, network.task_heads)
        same = Model(
            whole, model.words, model.columns, domain_heads=model.domain_heads, calibrations=model.calibrations,
            gauges=model.gauges,
        )  # fmt: skip
        same.taught = model.taught
        write_model(same, folder)
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        described["encoder"]["model"] = f"./{ENCODER}"  # wherever the folder is moved
        (folder / "model.json").write_text(json.dumps(described, indent=2, ensure_ascii=False), encoding="utf-8")


def _write_encoder(backbone: Backbone, folder: Path) -> None:
    body: Any = backbone.body
    body.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(str(folder))
    pooling = {
        "word_embedding_dimension": backbone.width,
        "pooling_mode_cls_token": backbone.pooling == "cls",
        "pooling_mode_mean_tokens": backbone.pooling == "mean",
        "pooling_mode_max_tokens": backbone.pooling == "max",
    }
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "1_Pooling").mkdir(exist_ok=True)
    for name, content in {
        "1_Pooling/config.json": pooling,
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": backbone.settings.max_length, "do_lower_case": False},
    }.items():
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
