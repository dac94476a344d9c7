"""An exported graph that answers as a model does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from nlptl.contracts import Floats, Task
from nlptl.encoder.lexical import Lexical
from nlptl.encoder.tokens import LOOSE_MULTIPLE, TextReader, token_batches, tokenize
from nlptl.errors import ModelError
from nlptl.export._graph import INPUTS
from nlptl.recipe import Encoder
from nlptl.saved import Model, Progress
from nlptl.saved.parts import head_settings
from nlptl.saved.words import Words

BATCH_TOKENS = 512
"""So many tokens a batch keep what lies between two operators in the cache."""
SLOW_FUSIONS = ["SkipLayerNormFusion"]
"""ONNX Runtime's kernel for a sum and its layer norm in one is slower than the two one after another."""


class OnnxModel(Model):
    """Texts → probabilities through ONNX Runtime, the words joined to the graph's logits."""

    def __init__(
        self, folder: Path, session: Any, reader: TextReader, tasks: Mapping[str, Task], words: Words | None,
        columns: Mapping[str, str | None],
    ) -> None:  # fmt: skip
        self.folder, self.session, self.reader = folder, session, reader
        self._tasks, self.words, self.columns, self.shelf = dict(tasks), words, dict(columns), None
        self.domain_heads, self.calibrations = {}, {}

    @property
    def tasks(self) -> dict[str, Task]:
        """The label sets by task."""
        return dict(self._tasks)

    def __repr__(self) -> str:
        tasks = "; ".join(f"{name}: {', '.join(task.labels[:6])}" for name, task in self.tasks.items())
        return f"OnnxModel({self.folder}{' with words' if self.words else ''}; {tasks})"

    def probabilities(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        domains: Sequence[str | None] | None = None,
        readings: Mapping[str, Floats] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Floats]:
        """By task: (texts, labels) probabilities; ``domains`` make no difference, and ``readings`` are not used."""
        tokens = tokenize(self.reader, texts, pairs)
        wanted = [each.name for each in self.session.get_inputs()]
        logits = {name: np.zeros((len(texts), task.outputs)) for name, task in self.tasks.items()}
        done, at_once = 0, self.reader.settings.batch_tokens or BATCH_TOKENS
        for rows in token_batches(tokens.row_lengths, at_once, multiple=LOOSE_MULTIPLE):
            batch = tokens.batch(rows, multiple=LOOSE_MULTIPLE)
            types = torch.zeros_like(batch.input_ids) if batch.token_type_ids is None else batch.token_type_ids
            given = dict(zip(INPUTS, (batch.input_ids, batch.attention_mask, types), strict=True))
            found = self.session.run(list(logits), {name: given[name].numpy() for name in wanted})
            for name, part in zip(logits, found, strict=True):
                logits[name][rows] = part
            done += len(rows)
            if progress is not None:
                progress(done, len(texts))
        beside = self.words.logits(texts) if self.words else {}
        return {name: self.tasks[name].probabilities(z + beside.get(name, 0.0)) for name, z in logits.items()}

    def use_batch_tokens(self, batch_tokens: int) -> None:
        """Answer in batches of so many tokens from now on."""
        self.reader.settings = self.reader.settings.model_copy(update={"batch_tokens": batch_tokens})

    def save(self, folder: Path | str) -> Path:
        """Copy the exported folder to ``folder``."""
        return Path(shutil.copytree(self.folder, folder, dirs_exist_ok=True))


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
        tasks = {name: _task(name, task) for name, task in described["tasks"].items()}
        words = None
        if (folder / "lexical.json").is_file():
            weights = {name: tensor.numpy() for name, tensor in load_file(folder / "words.safetensors").items()}
            words = Words(Lexical.load(folder / "lexical.json"), weights)
        tokenizer = AutoTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
        reader = TextReader(tokenizer, settings, settings.prompt or "", described["positions"])
    except (OSError, ValueError, KeyError, SafetensorError, ValidationError, RuntimeError) as error:
        raise ModelError(f"the model in {folder} is damaged ({error}); export it again.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS
        )
    except Exception as error:  # onnxruntime's errors have no other base
        raise ModelError(f"the model in {folder} is damaged ({error}); export it again.") from error
    return OnnxModel(folder, session, reader, tasks, words, described["columns"])


def _task(name: str, described: dict[str, Any]) -> Task:
    return Task(name, head_settings(described["head"]), tuple(described["labels"]))
