"""Network → ONNX file, checked against the network on batches of other shapes than the traced one."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nlptl.encoder.tokens import TokenBatch
from nlptl.errors import ModelError
from nlptl.model import Network

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
VECTORS = "vectors/"
"""Before a reading's name among the outputs."""
OPSET = 17
TOLERANCE = 1e-3
"""Largest difference of a float32 graph's logits from the network's; the graph orders its sums otherwise."""


class Graph(nn.Module):
    """Token ids → the logits of each task, words not included, and behind them the ``readings`` asked for."""

    def __init__(self, network: Network, readings: Sequence[str] = ()) -> None:
        super().__init__()
        self.network, self.readings = network, tuple(readings)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """(rows, tokens) each → by task (rows, outputs), then by reading (rows, width)."""
        rows = input_ids.shape[0]
        batch = TokenBatch(input_ids, attention_mask, token_type_ids, torch.arange(rows), rows)
        readings = self.network.backbone(batch, self.network.readings)
        logits = [head(readings) for head in self.network.task_heads.values()]
        return (*logits, *(readings[part].float() for part in self.readings))


def write_graph(network: Network, path: Path, *, int8: bool, pairs: bool, readings: Sequence[str] = ()) -> None:
    """Write ``network`` to ``path``, rows and tokens free.

    Args:
        pairs: whether texts come in pairs, told apart by ``token_type_ids``.
        readings: of the encoder, that the graph gives beside the logits as ``VECTORS`` and their name.

    Raises:
        ModelError: the float32 graph does not run, or does not give the network's logits and readings.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path.parent.mkdir(parents=True, exist_ok=True)
    graph = Graph(network, readings).eval()
    outputs = [*network.task_heads, *(VECTORS + name for name in readings)]
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx" if int8 else path
        names = list(INPUTS[: 3 if pairs else 2])
        free = {name: {0: "rows", 1: "tokens"} for name in names} | {name: {0: "rows"} for name in outputs}
        with _quiet(), _plain_attention(network.backbone.body):
            # The tracing exporter: torch.export's took 16 times as long here (64 s against 4 s) for the same graph.
            torch.onnx.export(
                graph, _example(network, 3, 24, pairs), plain, input_names=names, output_names=outputs,
                dynamic_axes=free, opset_version=OPSET, dynamo=False,
            )  # fmt: skip
        _check(graph, plain, network, pairs)
        if int8:
            with _quiet():
                quantize_dynamic(plain, path, weight_type=QuantType.QInt8, per_channel=True)


def _example(network: Network, rows: int, tokens: int, pairs: bool) -> tuple[Tensor, ...]:
    """Made-up rows of unlike lengths: with nothing to mask, tracing would leave the mask out of the graph."""
    backbone = network.backbone
    tokens = tokens if backbone.positions is None else min(tokens, backbone.positions)
    generator = torch.Generator().manual_seed(rows)
    ids = torch.randint(1, len(backbone.tokenizer), (rows, tokens), generator=generator)
    lengths = torch.linspace(tokens // 2, tokens, rows).long()
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    ids = torch.where(mask.bool(), ids, backbone.tokenizer.pad_token_id or 0)
    types = ((torch.arange(tokens) >= tokens // 3) & mask.bool()).long()
    return (ids, mask, types) if pairs else (ids, mask)


def _check(graph: Graph, path: Path, network: Network, pairs: bool) -> None:
    name = network.backbone.located.name
    examples = [_example(network, rows, tokens, pairs) for rows, tokens in ((1, 5), (5, 40))]
    try:
        answers = _answers(path, examples)
    except Exception as error:  # onnxruntime's errors have no other base
        raise ModelError(
            f"the ONNX graph of {name} does not run ({error}): the exporter does not follow this family, or one of the "
            "heads; export to merged."
        ) from error
    for example, found in zip(examples, answers, strict=True):
        with torch.no_grad():
            expected = graph(*example)
        rows, tokens = example[0].shape
        for ours, theirs in zip(expected, found, strict=True):
            furthest = float(np.abs(ours.numpy() - theirs).max())
            if not furthest < TOLERANCE * max(1.0, float(ours.abs().max())):
                raise ModelError(
                    f"the ONNX graph of {name} does not give the model's logits (off by {furthest:.3g} on {rows} rows "
                    f"of {tokens} tokens): the exporter does not follow this family."
                )


def _answers(path: Path, examples: Sequence[tuple[Tensor, ...]]) -> list[list[npt.NDArray[Any]]]:
    """What the graph in ``path`` makes of each of the batches of token ids."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    named = [{name: part.numpy() for name, part in zip(INPUTS, example, strict=False)} for example in examples]
    return [session.run(None, given) for given in named]


@contextmanager
def _plain_attention(body: Any) -> Iterator[None]:
    """Attention as matrix products and a softmax: torch's fused one is traced with guards against rows that mask every
    token, which take time, and no text is such a row."""
    before = body.config._attn_implementation
    body.set_attn_implementation("eager")
    try:
        yield
    finally:
        body.set_attn_implementation(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracer's warnings: what they are of is checked on other shapes."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
