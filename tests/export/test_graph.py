"""Heads that a trace could take for ones of its own few rows, and graphs that do not run at all."""

from pathlib import Path
from typing import Any

import pytest
import torch

import nlptl
from nlptl.contracts import Task
from nlptl.encoder.backbone import Backbone
from nlptl.export import _graph
from nlptl.heads import Knn
from nlptl.heads._nets import Neighbours
from nlptl.model import Network, TaskHead
from nlptl.recipe import Encoder
from nlptl.saved import Model

pytest.importorskip("onnx", reason="the extra onnx is not installed: pip install 'nlptl[onnx]'")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed: pip install 'nlptl[onnx]'")

TEXTS = ["win a cash prize", "the meeting is on monday", "gas", "x y z", "the report of the people"]


@pytest.fixture
def neighbours(tiny_encoder: Path) -> Model:
    """A model whose one head looks at the nearest of forty stored vectors."""
    backbone = Backbone.load(Encoder(model=str(tiny_encoder), max_length=24))
    vectors = torch.randn(40, backbone.width, generator=torch.Generator().manual_seed(0))
    net = Neighbours(vectors, torch.arange(40) % 3, labels=3, k=5)
    head = TaskHead(Task("topic", Knn(), ("a", "b", "c")), "last", net)
    return Model(Network(backbone.freeze("float32"), {"topic": head}), None, {"text": "text"})


def test_neighbours_are_found_by_a_graph_for_any_number_of_rows(neighbours: Model, tmp_path: Path) -> None:
    neighbours.export(tmp_path / "onnx")
    served = nlptl.load(tmp_path / "onnx")
    for texts in (TEXTS[:1], TEXTS):
        found, expected = (model.predict_proba(texts)["topic"] for model in (served, neighbours))
        assert abs(found - expected).max() < 1e-5


def test_a_graph_that_does_not_run_is_refused(
    neighbours: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("Split: sizes do not sum to 1")

    monkeypatch.setattr(_graph, "_answers", fails)
    with pytest.raises(nlptl.ModelError, match=r"does not run \(Split: .*\): .*export to merged"):
        neighbours.export(tmp_path / "onnx")
