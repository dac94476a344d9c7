"""A model that answers: network and words, saved as a folder and loaded from it.

``model.json`` says what is what; ``heads.safetensors`` holds the heads' and the words' weights, ``lexical.json`` the
words, ``adapter/`` a plain PEFT adapter. The encoder itself is named, with the hash of its weights, not copied.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nlptl.contracts import Floats, Head, Task
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.lexical import Lexical
from nlptl.encoder.store import encode
from nlptl.errors import DataError, ModelError
from nlptl.model import Network, TaskHead
from nlptl.recipe import Encoder
from nlptl.registry import find
from nlptl.tune._adapter import load_adapter, save_adapter

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Words:
    """The words' logit beside the vectors': (words, outputs) weights by task."""

    lexical: Lexical
    weights: Mapping[str, npt.NDArray[np.float64]]

    def logits(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
        """By task: (texts, outputs)."""
        found = self.lexical.transform(texts)
        return {task: np.asarray(found @ weights) for task, weights in self.weights.items()}


class Model:
    """Texts → probabilities for every task.

    ``columns`` names the text columns of the data that it was trained on, for files to be answered.
    """

    def __init__(
        self, network: Network, words: Words | None = None, columns: Mapping[str, str | None] | None = None
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.words = words
        self.columns = dict(columns or {})

    @property
    def tasks(self) -> dict[str, Task]:
        """The label sets by task."""
        return {name: head.task for name, head in self.network.task_heads.items()}

    def __repr__(self) -> str:
        tasks = "; ".join(f"{name}: {', '.join(task.labels[:6])}" for name, task in self.tasks.items())
        beside = " with words" if self.words else ""
        return f"Model({self.network.backbone.located.name}{beside}; {tasks})"

    def probabilities(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        readings: Mapping[str, Floats] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Floats]:
        """By task: (texts, labels) probabilities.

        Args:
            readings: (texts, width) vectors that this model's encoder gave before, where they are at hand.
        """
        if readings is None:
            readings = encode(
                self.network.backbone, texts, pairs, readings=self.network.readings, store=None, progress=progress
            )
        beside = self.words.logits(texts) if self.words else {}
        answers = {}
        for name, head in self.network.task_heads.items():
            with torch.no_grad():
                logits = head({part: torch.as_tensor(np.asarray(vectors)) for part, vectors in readings.items()})
            answers[name] = head.task.probabilities(logits.cpu().double().numpy() + beside.get(name, 0.0))
        return answers

    def use_batch_tokens(self, batch_tokens: int) -> None:
        """Encode in batches of so many tokens from now on; answers stay the same."""
        backbone = self.network.backbone
        backbone.settings = backbone.settings.model_copy(update={"batch_tokens": batch_tokens})

    def predict(self, texts: Sequence[str], text_pair: Sequence[str] | None = None) -> pd.DataFrame:
        """Answers as a table: for each task its label (a list of labels where it is multilabel), and the probability
        of each label in columns ``<task>.<label>``.

        Raises:
            DataError: a text is not a string, or a bare string was given in place of a list.
        """
        if isinstance(texts, str):
            raise DataError("predict takes a list of texts, and was given one string; write [text].")
        texts = list(texts)
        wrong = next((place for place, text in enumerate(texts) if not isinstance(text, str)), None)
        if wrong is not None:
            raise DataError(f"text {wrong} is {texts[wrong]!r}, not a string; leave it out or replace it.")
        return answer_table(self.tasks, self.probabilities(texts, None if text_pair is None else list(text_pair)))

    def save(self, folder: Path | str) -> Path:
        """Write everything but the encoder's own weights to ``folder``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        backbone = self.network.backbone
        tensors = {f"heads/{name}": tensor for name, tensor in self.network.heads.state_dict().items()}
        if self.words is not None:
            self.words.lexical.save(folder / "lexical.json")
            for task, weights in self.words.weights.items():
                tensors[f"words/{task}"] = torch.from_numpy(weights)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "heads.safetensors")
        adapted = hasattr(backbone.body, "peft_config")
        if adapted:
            save_adapter(backbone.body, folder / "adapter", backbone.located.name)
        described = {
            "format": FORMAT,
            "encoder": backbone.settings.model_dump(mode="json"),
            "base": backbone.base_identity,
            "pooling": backbone.pooling,
            "precision": str(backbone.dtype).removeprefix("torch."),
            "adapter": adapted,
            "columns": self.columns,
            "tasks": {
                name: {
                    "head": head.task.head.model_dump(mode="json"),
                    "labels": list(head.task.labels),
                    "reading": head.reading,
                }
                for name, head in self.network.task_heads.items()
            },
        }
        (folder / "model.json").write_text(json.dumps(described, indent=2, ensure_ascii=False), encoding="utf-8")
        return folder


def load(path: Path | str) -> Model:
    """The model saved in ``path``: a model folder, or a run folder that holds one.

    Raises:
        ModelError: no whole model is there, or its encoder is not the one it was trained with.
    """
    folder = _model_folder(Path(path))
    try:
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "heads.safetensors")
        settings = Encoder.model_validate(described["encoder"])
        tasks = {
            name: Task(name, _head(task["head"]), tuple(task["labels"])) for name, task in described["tasks"].items()
        }
    except (OSError, ValueError, KeyError, SafetensorError, ValidationError) as error:
        raise ModelError(f"the model in {folder} is damaged ({error}); save it again.") from error
    backbone = Backbone.load(settings)
    if backbone.base_identity != described["base"]:
        raise ModelError(
            f"the model in {folder} was trained on other weights of {backbone.located.name} than those found here; "
            "its answers would be wrong. Get the encoder that it names, or train again."
        )
    if described["adapter"]:
        backbone.body = load_adapter(backbone.body, folder / "adapter")
    backbone.freeze(described["precision"])
    heads = {
        name: TaskHead.fresh(task, described["tasks"][name]["reading"], backbone.width) for name, task in tasks.items()
    }
    network = Network(backbone, heads)
    network.heads.load_state_dict(_under("heads/", tensors))
    words = None
    if (folder / "lexical.json").is_file():
        weights = {task: tensor.numpy() for task, tensor in _under("words/", tensors).items()}
        words = Words(Lexical.load(folder / "lexical.json"), weights)
    return Model(network, words, described["columns"])


def answer_table(tasks: Mapping[str, Task], probabilities: Mapping[str, Floats]) -> pd.DataFrame:
    """Probabilities by task → a table of labels and probabilities, as ``Model.predict`` returns it."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, task in tasks.items():
        shares = probabilities[name]
        if task.head.multilabel:
            columns[name] = [[task.labels[place] for place in np.flatnonzero(row >= 0.5)] for row in shares]
        else:
            columns[name] = [task.labels[place] for place in shares.argmax(axis=1)]
        columns |= {f"{name}.{label}": shares[:, place] for place, label in enumerate(task.labels)}
    return pd.DataFrame(columns)


def _head(described: dict[str, Any]) -> Head:
    head = find("heads", described["kind"]).model_validate(described)
    assert isinstance(head, Head)
    return head


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _model_folder(path: Path) -> Path:
    for folder in (path, path / "model"):
        if (folder / "model.json").is_file():
            return folder
    inside = sorted(found.parent.name for found in (path / "model").glob("*/model.json"))
    several = (
        f"; it holds one model a target: {', '.join(inside)} (load {path / 'model' / inside[0]})" if inside else ""
    )
    raise ModelError(f"no model in {path.resolve()}: model.json is absent{several}.")
