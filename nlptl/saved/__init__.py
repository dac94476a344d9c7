"""A model that answers: network and words, saved as a folder and loaded from it.

``model.json`` says what is what; ``heads.safetensors`` holds the weights of heads, words and single domains' heads,
``lexical.json`` the words, ``adapter/`` a plain PEFT adapter, ``adapters/`` one a domain or task, ``body.safetensors``
those of the encoder's own weights that learned, ``inherited.safetensors`` those that earlier runs had changed before,
``anomaly.safetensors`` what tells strange texts, ``taught.safetensors`` hashes of the texts that taught it.
The encoder itself is named, with the hash of the weights that training began from, not copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nlptl.contracts import Floats, Task
from nlptl.encoder.store import encode
from nlptl.evaluate.calibrate import Calibration
from nlptl.model import Network
from nlptl.saved.anomaly import Gauge
from nlptl.saved.answers import answer_table, asked
from nlptl.saved.bank import own_logits, shared_heads
from nlptl.saved.domains import DomainHeads, by_task, fit_domains, pack
from nlptl.saved.export import write_export
from nlptl.saved.parts import model_folder, targets_folder
from nlptl.saved.place import written_anew
from nlptl.saved.texts import texts_readings
from nlptl.saved.whose import Whose, domain_name
from nlptl.saved.words import Words
from nlptl.saved.writing import save_whole, write_model
from nlptl.transfer.taught import Hashes
from nlptl.tune._shelf import Shelf
from nlptl.tune._task_bank import TaskShelf

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int, int], None]


class Model:
    """Texts → probabilities for every task.

    ``columns`` names the columns of the data that it was trained on, for files to be answered; ``shelf`` holds the
    adapters of domains or tasks that have their own; by task, ``domain_heads`` what single domains add to a solved head
    and ``calibrations`` how its logits become probabilities and decisions; ``gauges`` tell strange texts.
    """

    def __init__(
        self,
        network: Network,
        words: Words | None = None,
        columns: Mapping[str, str | None] | None = None,
        shelf: Shelf | TaskShelf | None = None,
        domain_heads: Mapping[str, DomainHeads] | None = None,
        calibrations: Mapping[str, Calibration] | None = None,
        gauges: Mapping[str, Gauge] | None = None,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.words = words
        self.columns = dict(columns or {})
        self.shelf = shelf
        self.domain_heads = dict(domain_heads or {})
        self.calibrations = dict(calibrations or {})
        self.gauges = dict(gauges or {})
        self.taught: Hashes | None = None
        """Of the texts that taught it, as far as that is known."""

    @property
    def tasks(self) -> dict[str, Task]:
        """The label sets by task."""
        return {name: head.task for name, head in self.network.task_heads.items()}

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that have a solved head of their own for some task, sorted."""
        return tuple(sorted({name for heads in self.domain_heads.values() for name in heads.names}))

    @property
    def by_domain(self) -> bool:
        """Whether an answer depends on whose the text is."""
        return bool(self.domain_heads or self.calibrations) or isinstance(self.shelf, Shelf)

    def __repr__(self) -> str:
        tasks = "; ".join(f"{name}: {', '.join(task.labels[:6])}" for name, task in self.tasks.items())
        beside = " with words" if self.words else ""
        return f"Model({self.network.backbone.located.name}{beside}; {tasks})"

    def probabilities(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        domains: Sequence[str | None] | None = None,
        readings: Mapping[str, Floats] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Floats]:
        """By task: (texts, labels) probabilities, calibrated where the model is; arguments as of ``logits``."""
        whose = [None] * len(texts) if domains is None else domains
        logits = self.logits(texts, pairs, domains=whose, readings=readings, progress=progress)
        return self._shares(logits, whose)

    def _shares(self, logits: dict[str, Floats], domains: Sequence[str | None]) -> dict[str, Floats]:
        """By task: (texts, labels) calibrated probabilities of (texts, outputs) logits."""
        scaled = logits | {name: each.scaled(logits[name], domains) for name, each in self.calibrations.items()}
        return {name: task.probabilities(scaled[name]) for name, task in self.tasks.items()}

    def strangeness(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        domains: Sequence[str | None],
        readings: Mapping[str, Floats] | None = None,
    ) -> dict[str, Floats]:
        """By task that has a gauge: (texts,) how unlike all that taught each text is; arguments as of ``logits``."""
        return self._gauged(*self._read(texts, pairs, domains, readings, None)) if self.gauges else {}

    def _gauged(self, vectors: Mapping[str, Floats], logits: Mapping[str, Floats]) -> dict[str, Floats]:
        return {name: gauge.values(logits[name], vectors.get(name)) for name, gauge in self.gauges.items()}

    def logits(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        domains: Sequence[str | None],
        readings: Mapping[str, Floats] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Floats]:
        """By task: (texts, outputs) logits of each text's domain, words included, before any calibration.

        Args:
            domains: of each text; one that is unknown, or None, is answered by what all domains share.
            readings: (texts, width) vectors that this model's encoder gave before, where they are at hand.
        """
        return self._read(texts, pairs, domains, readings, progress)[1]

    def _read(
        self, texts: Sequence[str], pairs: Sequence[str] | None, domains: Sequence[str | None],
        readings: Mapping[str, Floats] | None, progress: Progress | None,
    ) -> tuple[dict[str, Floats], dict[str, Floats]]:  # fmt: skip
        """By task: the vectors that its head reads, where one body reads for all, and what ``logits`` returns."""
        if self.shelf is not None:
            beside = self.words.logits(texts) if self.words else {}
            own = own_logits(self.network, self.shelf, texts, pairs, domains, progress)
            return {}, {name: z + beside.get(name, 0.0) for name, z in own.items()}
        vectors, logits = self.shared_logits(texts, pairs, readings=readings, progress=progress)
        for name, heads in self.domain_heads.items():
            logits[name] = logits[name] + heads.logits(vectors[name], domains)
        return vectors, logits

    def shared_logits(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        readings: Mapping[str, Floats] | None = None,
        progress: Progress | None = None,
    ) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """By task: the (texts, width) vectors that its head reads, and the (texts, outputs) logits, words included, of
        the head that all domains share."""
        if readings is None:
            readings = encode(
                self.network.backbone, texts, pairs, readings=self.network.readings, store=None, progress=progress
            )
        readings = {**readings, **texts_readings(self.network, texts)}
        beside = self.words.logits(texts) if self.words else {}
        vectors: dict[str, Floats] = {}
        logits: dict[str, Floats] = {}
        for name, head in self.network.task_heads.items():
            read = head.reading.split("+")
            vectors[name] = np.concatenate([np.asarray(readings[part]) for part in read], axis=1)
            with torch.no_grad():
                answers = head({part: torch.as_tensor(np.asarray(readings[part])).to(head.device) for part in read})
            logits[name] = answers.cpu().double().numpy() + beside.get(name, 0.0)
        return vectors, logits

    def use_batch_tokens(self, batch_tokens: int) -> None:
        """Encode in batches of so many tokens from now on; answers stay the same."""
        backbone = self.network.backbone
        backbone.settings = backbone.settings.model_copy(update={"batch_tokens": batch_tokens})

    def predict(
        self,
        texts: Sequence[str],
        text_pair: Sequence[str] | None = None,
        *,
        domain: Whose = None,
    ) -> pd.DataFrame:
        """Answers as a table: for each task its label (a list of labels where it is multilabel), and the probability
        of each label in columns ``<task>.<label>``.

        Args:
            domain: whom the texts belong to, one name for all or one a text (a list, an array, a pandas column); a
                domain without anything of its own is answered by what all share, and None as rows without a domain.

        A calibrated model answers by its thresholds; where it abstains, the answer is missing. One that was asked to
        (``heads.<task>.anomaly``) says in ``<task>.anomaly`` how unlike all that taught it a text is, and in
        ``<task>.anomalous`` whether that is beyond the threshold.

        Raises:
            DataError: a text is not a string, a bare string was given in place of a list, there is not one domain or
                second text a text, or second texts are lacking.
        """
        texts, pairs, domains = asked(texts, text_pair, domain, self.columns)
        return self.table(texts, pairs, domains=domains)

    def predict_proba(
        self,
        texts: Sequence[str],
        text_pair: Sequence[str] | None = None,
        *,
        domain: Whose = None,
    ) -> dict[str, Floats]:
        """By task: (texts, labels) probabilities, in the order of ``tasks[name].labels``; arguments and errors as of
        ``predict``."""
        texts, pairs, domains = asked(texts, text_pair, domain, self.columns)
        return self.probabilities(texts, pairs, domains=domains)

    def table(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        domains: Sequence[str | None],
        readings: Mapping[str, Floats] | None = None,
    ) -> pd.DataFrame:
        """What ``predict`` returns; arguments as of ``logits``."""
        vectors, logits = self._read(texts, pairs, domains, readings, None)
        strange = self._gauged(vectors, logits)
        return answer_table(self.tasks, self._shares(logits, domains), self.calibrations, domains, self.gauges, strange)

    def add_domain(
        self,
        name: str,
        texts: Sequence[str],
        labels: Sequence[Any] | Mapping[str, Sequence[Any]],
        text_pair: Sequence[str] | None = None,
        *,
        replace: bool = False,
    ) -> None:
        """Give domain ``name`` a head of its own, from the shared head, τ and these labels alone; other domains' texts
        are not needed, and no other answer changes.

        Args:
            labels: of each text, None for an unlabelled one; by task where several tasks have per-domain heads.
            replace: fit a domain anew that has a head already.

        Raises:
            ModelError: the model has no per-domain heads, or one of this domain already.
            DataError: texts, labels or the name cannot be used.
        """
        texts, pairs, domains = asked(texts, text_pair, domain_name(name), self.columns)
        self.domain_heads = fit_domains(self, domains, texts, by_task(self, labels), pairs, replace_old=replace)

    def save_heads(self, folder: Path) -> None:
        """Write ``heads.safetensors`` to a model folder, whole or not at all; enough where only heads changed."""
        tensors = {f"heads/{name}": tensor for name, tensor in shared_heads(self.network).items()}
        words = {} if self.words is None else self.words.weights
        tensors |= {f"words/{task}": torch.from_numpy(weights) for task, weights in words.items()}
        of_domains, metadata = pack(self.domain_heads)
        save_whole(tensors | of_domains, folder / "heads.safetensors", metadata)

    def save(self, folder: Path | str) -> Path:
        """Write everything but the encoder's own weights to ``folder``, in the place of a model that is there."""
        folder = Path(folder)
        with written_anew(folder, kept=[Path(self.network.backbone.settings.model)]) as made:
            write_model(self, made)
        return folder

    def export(
        self, folder: Path | str, *, to: str = "onnx", int8: bool = False, texts: Sequence[str] | None = None,
        text_pair: Sequence[str] | None = None,
    ) -> Path:  # fmt: skip
        """Write the model in another shape, a kind of ``nlptl.export``, or raise ModelError; where that answers by
        itself, compare its answers on ``texts`` (``agreement.json``)."""
        return write_export(self, Path(folder), to=to, int8=int8, texts=texts, pairs=text_pair)


def load(path: Path | str, *, device: torch.device | str | None = None) -> Model:
    """The model saved in ``path``: a model folder, or a run folder that holds one.

    A run with one model a target comes as one (``nlptl.saved.targets.TargetModels``), which answers each text by the
    model of its domain.

    Args:
        device: where it computes; none: on a CUDA card where there is one, else on the processor.

    Raises:
        ModelError: no whole model is there, or its encoder is not the one it was trained with.
    """
    from nlptl.saved.opening import open_model
    from nlptl.saved.targets import TargetModels

    several = targets_folder(Path(path))
    return open_model(model_folder(Path(path)), device=device) if several is None else TargetModels(several, device)
