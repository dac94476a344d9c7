"""An ONNX graph from token ids to logits, and its int8 form, for ONNX Runtime."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from nlptl.contracts import Export
from nlptl.errors import ModelError

if TYPE_CHECKING:
    from nlptl.saved import Model


class Onnx(Export):
    """An ONNX graph from token ids to the heads' logits, words and domains' heads beside; needs the extra ``onnx``.

    int8 is ONNX Runtime's dynamic quantisation: weights a channel, activations as they come.
    """

    kind: Literal["onnx"] = "onnx"
    int8: bool = Field(False, description="Quantise matrix products to eight bits.")

    def write(self, model: Model, folder: Path) -> None:
        """Write ``model.onnx``, the tokenizer, the words, the domains' heads and ``model.json`` with what calibrates
        them, and what tells strange texts: all that answering needs.

        Raises:
            ModelError: the extra is not installed, the graph does not answer as the model does, or the model is of a
                kind that one graph cannot hold (an adapter a domain, texts in chunks).
        """
        from safetensors.torch import save_file

        from nlptl.export._graph import write_graph
        from nlptl.export._merge import merged
        from nlptl.export._served import save_domains
        from nlptl.saved.anomaly import described_gauges, save_gauges

        _installed()
        backbone = model.network.backbone
        if backbone.settings.long == "chunks":
            raise ModelError(
                "this model averages several pieces of a long text (encoder.long: chunks), which one graph does not; "
                "train with encoder.long: head or head_tail to export to onnx."
            )
        pairs = model.columns.get("text_pair") is not None
        network = merged(model, self.kind)
        told = [name for name, gauge in model.gauges.items() if gauge.gaussians is not None]
        own = {name: network.task_heads[name].reading.split("+") for name in (*model.domain_heads, *told)}
        readings = sorted({part for read in own.values() for part in read})
        write_graph(network, folder / "model.onnx", int8=self.int8, pairs=pairs, readings=readings)
        save_domains(model.domain_heads, folder)
        save_gauges(model.gauges, folder)
        backbone.tokenizer.save_pretrained(str(folder / "tokenizer"))
        if model.words is not None:
            import torch

            model.words.lexical.save(folder / "lexical.json")
            save_file(
                {task: torch.from_numpy(weights) for task, weights in model.words.weights.items()},
                folder / "words.safetensors",
            )
        described: dict[str, Any] = {
            "format": 1,
            "export": self.kind,
            "int8": self.int8,
            "encoder": backbone.settings.model_dump(mode="json") | {"prompt": backbone.prompt},
            "base": backbone.base_identity,
            "positions": backbone.positions,
            "columns": model.columns,
            "calibrations": {name: asdict(one) for name, one in model.calibrations.items()},
            "anomaly": described_gauges(model.gauges),
            "words": model.words is not None,
            "domains": bool(model.domain_heads),
            "vectors_read": own,
            "tasks": {
                name: {"head": task.head.model_dump(mode="json"), "labels": list(task.labels)}
                for name, task in model.tasks.items()
            },
        }
        (folder / "model.json").write_text(json.dumps(described, indent=2, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> Model:
        """The exported model, ready to answer."""
        from nlptl.export._served import load_onnx

        _installed()
        return load_onnx(folder)


def _installed() -> None:
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ModelError(f"ONNX needs the extra onnx ({error}); install it with: pip install 'nlptl[onnx]'") from error
    del onnx
