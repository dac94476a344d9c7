"""An exported graph that answers as a model does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from nlptl.contracts import Floats, Task
from nlptl.encoder.lexical import Lexical
from nlptl.encoder.tokens import LOOSE_MULTIPLE, TextReader, token_batches, tokenize
from nlptl.errors import ModelError
from nlptl.evaluate.calibrate import Calibration
from nlptl.export._graph import INPUTS, VECTORS
from nlptl.recipe import Encoder
from nlptl.saved import Model, Progress
from nlptl.saved.anomaly import Gauge, open_gauges
from nlptl.saved.domains import DomainHeads, pack, unpack
from nlptl.saved.parts import saved_tasks
from nlptl.saved.place import copy_model
from nlptl.saved.words import Words
from nlptl.saved.writing import save_whole

BATCH_TOKENS = 512
"""So many tokens a batch keep what lies between two operators in the cache."""
DOMAINS = "domains.safetensors"
SLOW_FUSIONS = ["SkipLayerNormFusion"]
"""ONNX Runtime's kernel for a sum and its layer norm in one is slower than the two one after another."""


class OnnxModel(Model):
    """Texts → probabilities through ONNX Runtime; words, domains' heads, calibration and gauges are applied to the
    graph's logits and vectors as they are to a network's."""

    def __init__(
        self, folder: Path, session: Any, reader: TextReader, tasks: Mapping[str, Task], words: Words | None,
        columns: Mapping[str, str | None], domain_heads: Mapping[str, DomainHeads],
        calibrations: Mapping[str, Calibration], gauges: Mapping[str, Gauge], vectors_read: Mapping[str, Sequence[str]],
    ) -> None:  # fmt: skip
        self.folder, self.session, self.reader = folder, session, reader
        self._tasks, self.words, self.columns, self.shelf = dict(tasks), words, dict(columns), None
        self.domain_heads, self.calibrations, self.gauges = dict(domain_heads), dict(calibrations), dict(gauges)
        self._vectors_read = dict(vectors_read)

    @property
    def tasks(self) -> dict[str, Task]:
        """The label sets by task."""
        return dict(self._tasks)

    def __repr__(self) -> str:
        tasks = "; ".join(f"{name}: {', '.join(task.labels[:6])}" for name, task in self.tasks.items())
        return f"OnnxModel({self.folder}{' with words' if self.words else ''}; {tasks})"

    def shared_logits(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        readings: Mapping[str, Floats] | None = None,
        progress: Progress | None = None,
    ) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """By task: the (texts, width) vectors that its domains' heads or its gauge read, and the (texts, outputs)
        logits, words included; ``readings`` are not used."""
        found = self._run(texts, pairs, progress)
        beside = self.words.logits(texts) if self.words else {}
        vectors: dict[str, Floats] = {
            name: np.concatenate([found[VECTORS + part] for part in read], axis=1)
            for name, read in self._vectors_read.items()
        }
        return vectors, {name: found[name] + beside.get(name, 0.0) for name in self.tasks}

    def _run(
        self, texts: Sequence[str], pairs: Sequence[str] | None, progress: Progress | None
    ) -> dict[str, npt.NDArray[np.float64]]:
        """By output of the graph: (texts, its width)."""
        tokens = tokenize(self.reader, texts, pairs)
        wanted = [each.name for each in self.session.get_inputs()]
        found = {each.name: np.zeros((len(texts), each.shape[1])) for each in self.session.get_outputs()}
        done, at_once = 0, self.reader.settings.batch_tokens or BATCH_TOKENS
        for rows in token_batches(tokens.row_lengths, at_once, multiple=LOOSE_MULTIPLE):
            batch = tokens.batch(rows, multiple=LOOSE_MULTIPLE)
            types = torch.zeros_like(batch.input_ids) if batch.token_type_ids is None else batch.token_type_ids
            given = dict(zip(INPUTS, (batch.input_ids, batch.attention_mask, types), strict=True))
            answers = self.session.run(list(found), {name: given[name].numpy() for name in wanted})
            for name, part in zip(found, answers, strict=True):
                found[name][rows] = part
            done += len(rows)
            if progress is not None:
                progress(done, len(texts))
        return found

    def use_batch_tokens(self, batch_tokens: int) -> None:
        """Answer in batches of so many tokens from now on."""
        self.reader.settings = self.reader.settings.model_copy(update={"batch_tokens": batch_tokens})

    def save_heads(self, folder: Path) -> None:
        """Write the domains' heads to an exported folder."""
        save_domains(self.domain_heads, folder)

    def save(self, folder: Path | str) -> Path:
        """Copy the exported folder to ``folder``, in the place of a model that is there."""
        return copy_model(self.folder, Path(folder))

    def export(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: it is an export already."""
        raise ModelError(f"the model in {self.folder} was exported already; export the model that it was made from.")


def save_domains(heads: Mapping[str, DomainHeads], folder: Path) -> None:
    """Write the heads of domains, where there are any, to an exported folder, whole or not at all."""
    if not heads:
        return
    tensors, metadata = pack(heads)
    save_whole(tensors, folder / DOMAINS, metadata)


def load_onnx(folder: Path) -> OnnxModel:
    """The graph in ``folder``, on the CPU, with as many threads as torch has.

    Raises:
        ModelError: something in the folder is absent or damaged.
    """
    import onnxruntime
    from transformers import AutoTokenizer

    try:
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        settings = Encoder.model_validate(described["encoder"])
        tasks = saved_tasks(described["tasks"])
        words = None
        if described["words"]:
            weights = {name: tensor.numpy() for name, tensor in load_file(folder / "words.safetensors").items()}
            words = Words(Lexical.load(folder / "lexical.json"), weights)
        heads: dict[str, DomainHeads] = {}
        if described["domains"]:
            with safe_open(folder / DOMAINS, "pt") as opened:
                heads = unpack(load_file(folder / DOMAINS), opened.metadata())
        calibrations = {name: Calibration(**one) for name, one in described["calibrations"].items()}
        gauges = open_gauges(described.get("anomaly", {}), folder)
        vectors_read = described["vectors_read"]
        tokenizer = AutoTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
        reader = TextReader(tokenizer, settings, settings.prompt or "", described["positions"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, ValidationError, RuntimeError) as error:
        raise ModelError(f"the model in {folder} is damaged ({error}); export it again.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS
        )
    except Exception as error:  # onnxruntime's errors have no other base
        raise ModelError(f"the model in {folder} is damaged ({error}); export it again.") from error
    return OnnxModel(
        folder, session, reader, tasks, words, described["columns"], heads, calibrations, gauges, vectors_read
    )
