"""One model a target, served as one: each text is answered by the model of its domain.

``targets.json`` names each target's folder, and that of the model which all others share, where the run has one.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
import torch

from nlptl.contracts import Floats, Ints, Task
from nlptl.data._cells import NO_DOMAIN
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.store import encode
from nlptl.errors import DataError, ModelError
from nlptl.heads._reading import parts
from nlptl.saved import Model, Progress
from nlptl.saved.anomaly import Gauge
from nlptl.saved.answers import answer_table, in_order, rows_of_each
from nlptl.saved.opening import damaged, encoder_key, open_model, read_described
from nlptl.saved.parts import TARGETS, saved_tasks
from nlptl.saved.place import copy_model
from nlptl.saved.recent import Recent
from nlptl.saved.whose import without_model

if TYPE_CHECKING:
    import pandas as pd

ENCODERS = 4
"""Encoders that are kept in memory at once."""
MODELS = 32
"""Models of one encoder (heads and words, without it) that are kept in memory at once."""
SHARED = "shared.model"
"""The folder of the model that all other domains share; no target's folder has a dot in its name."""

T = TypeVar("T")


def write_index(folder: Path, targets: Mapping[str, str], shared: str | None) -> None:
    """Say in ``folder`` whose the models in it are.

    Args:
        targets: by domain, the name of its model's folder.
        shared: that of the model which answers all other domains; None where there is none.
    """
    described = {"targets": dict(targets), "shared": shared}
    (folder / TARGETS).write_text(json.dumps(described, indent=1, ensure_ascii=False), encoding="utf-8")


class TargetModels(Model):
    """Texts → probabilities by the model of each text's domain, or by the one that all others share.

    Models are loaded when they are first needed. Those of one encoder share it, and the vectors of the texts that are
    answered together; at most ``ENCODERS`` encoders with ``MODELS`` models each stay in memory.
    """

    def __init__(self, folder: Path, device: torch.device | str | None = None) -> None:
        self.folder, self.device = folder, device
        try:
            index = json.loads((folder / TARGETS).read_text(encoding="utf-8"))
            self._targets: dict[str, str] = dict(index["targets"])
            self.shared: str | None = index["shared"]
            self._described = {
                name: read_described(folder / name) for name in [*self._targets.values(), self.shared] if name
            }
            first = next(iter(self._described.values()))
            self._tasks, self.columns = saved_tasks(first["tasks"]), dict(first["columns"])
            self.gauges = {name: Gauge(**facts) for name, facts in first.get("anomaly", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
            raise damaged(folder, error) from error
        self.words, self.shelf, self.domain_heads, self.calibrations = None, None, {}, {}
        self._keys: dict[str, str] = {}
        self._encoders: Recent[_Siblings] = Recent(ENCODERS, self._siblings)
        self._batch_tokens: int | None = None

    @property
    def tasks(self) -> dict[str, Task]:
        """The label sets by task."""
        return dict(self._tasks)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that have a model of their own, sorted."""
        return tuple(sorted(self._targets))

    @property
    def by_domain(self) -> bool:
        """Whether an answer depends on whose the text is: it does."""
        return True

    def __repr__(self) -> str:
        tasks = "; ".join(f"{name}: {', '.join(task.labels[:6])}" for name, task in self.tasks.items())
        others = "none for other domains" if self.shared is None else "one that all other domains share"
        return f"TargetModels({len(self._targets)} in {self.folder}, {others}; {tasks})"

    def refusal(self, domain: str | None) -> str | None:
        """Why a text of ``domain`` has no answer; None where it has one."""
        if self._folder_of(domain) is not None:
            return None
        return "no domain" if domain in (None, NO_DOMAIN) else f"no model for the domain: {domain!r}"

    def probabilities(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        domains: Sequence[str | None] | None = None,
        readings: Mapping[str, Floats] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Floats]:
        """By task: (texts, labels) probabilities; ``readings`` are not used, as encoders may differ.

        Raises:
            DataError: a text is of no domain that has a model, and there is none that all others share.
        """
        found: dict[str, Floats] = {name: np.zeros((len(texts), len(task.labels))) for name, task in self.tasks.items()}
        return self._filled(found, lambda model: model.probabilities, texts, pairs, domains, progress)

    def logits(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        domains: Sequence[str | None],
        readings: Mapping[str, Floats] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Floats]:
        """By task: (texts, outputs) logits before any calibration; otherwise as ``probabilities``."""
        found: dict[str, Floats] = {name: np.zeros((len(texts), task.outputs)) for name, task in self.tasks.items()}
        return self._filled(found, lambda model: model.logits, texts, pairs, domains, progress)

    def _filled(
        self, found: dict[str, Floats], ask: Callable[[Model], Callable[..., dict[str, Floats]]], texts: Sequence[str],
        pairs: Sequence[str] | None, domains: Sequence[str | None] | None, progress: Progress | None,
    ) -> dict[str, Floats]:  # fmt: skip
        whose = [None] * len(texts) if domains is None else domains
        done = 0
        for rows, answers in self._answered(ask, texts, pairs, whose):
            for name, values in answers.items():
                found[name][rows] = values
            done += len(rows)
            if progress is not None:
                progress(done, len(texts))
        return found

    def use_batch_tokens(self, batch_tokens: int) -> None:
        """Encode in batches of so many tokens from now on; answers stay the same."""
        self._batch_tokens = batch_tokens
        self._encoders.clear()

    def save(self, folder: Path | str) -> Path:
        """Copy all models to ``folder``, in the place of a model that is there."""
        return copy_model(self.folder, Path(folder))

    def add_domain(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: there is no one model to add to."""
        self._refuse("a head for one domain more is added to one model")

    def export(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: there is no one model to export."""
        self._refuse("one model is exported at a time")

    def shared_logits(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: heads of several models read several encoders."""
        self._refuse("vectors are those of one model")

    def save_heads(self, *_: Any) -> NoReturn:
        """Refused: there is no one model whose heads these are."""
        self._refuse("heads are saved with their model")

    def _refuse(self, why: str) -> NoReturn:
        one = self.folder / next(iter(self._targets.values()))
        raise ModelError(f"{self.folder} holds one model a target, and {why}; name one of them, such as {one}.")

    def table(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        domains: Sequence[str | None],
        readings: Mapping[str, Floats] | None = None,
    ) -> pd.DataFrame:
        """What ``predict`` returns; arguments as of ``probabilities``."""
        if len(texts):
            return in_order(self._answered(lambda model: model.table, texts, pairs, domains))
        none = {name: np.zeros((0, len(task.labels))) for name, task in self.tasks.items()}
        return answer_table(self.tasks, none, {}, [], self.gauges, dict.fromkeys(self.gauges, np.zeros(0)))

    def _answered(
        self, ask: Callable[[Model], Callable[..., T]], texts: Sequence[str], pairs: Sequence[str] | None,
        domains: Sequence[str | None],
    ) -> Iterator[tuple[Ints, T]]:  # fmt: skip
        """For each model that is needed: the rows that it answers, and what its method ``ask`` says of them."""
        texts, pairs = list(texts), None if pairs is None else list(pairs)  # a pandas column is indexed by its labels
        domains = list(domains)
        for key, names in self._needed(domains).items():
            siblings = self._encoders[key]
            every = np.concatenate(list(names.values()))
            readings = None
            if not any(self._described[name]["slots"] for name in names):  # else the encoder is another for each domain
                readings = encode(
                    siblings.models[next(iter(names))].network.backbone, [texts[row] for row in every],
                    pairs and [pairs[row] for row in every], readings=self._readings(names), store=None,
                )  # fmt: skip
            start = 0
            for name, rows in names.items():
                model, own = siblings.models[name], slice(start, start + len(rows))
                start = own.stop
                yield rows, ask(model)(
                    [texts[row] for row in rows],
                    pairs and [pairs[row] for row in rows],
                    domains=[domains[row] for row in rows],
                    readings=readings and {part: vectors[own] for part, vectors in readings.items()},
                )  # fmt: skip

    def _needed(self, domains: Sequence[str | None]) -> dict[str, dict[str, Ints]]:
        """By encoder and model, the rows that it answers; what is in memory comes first, before it gives way."""
        lacking = Counter(domain for domain in domains if self.refusal(domain) is not None)
        if lacking:
            raise DataError(without_model(lacking, len(domains), self.domains))
        rows_of = rows_of_each(str(self._folder_of(domain)) for domain in domains)
        found: defaultdict[str, dict[str, Ints]] = defaultdict(dict)
        for name in sorted(rows_of, key=lambda name: not self._in_memory(name)):
            found[self._key(name)][name] = rows_of[name]
        return found

    def _folder_of(self, domain: str | None) -> str | None:
        return self._targets.get(NO_DOMAIN if domain is None else domain, self.shared)

    def _in_memory(self, name: str) -> bool:
        key = self._keys.get(name)
        return key is not None and key in self._encoders and name in self._encoders[key].models

    def _key(self, name: str) -> str:
        if name not in self._keys:
            self._keys[name] = encoder_key(self.folder / name, self._described[name])
        return self._keys[name]

    def _readings(self, names: Mapping[str, Ints]) -> tuple[str, ...]:
        """What the heads of the models ``names`` read of their encoder."""
        tasks = (task for name in names for task in self._described[name]["tasks"].values())
        return parts(task["reading"] for task in tasks if task.get("texts") is None)

    def _siblings(self, _: str) -> _Siblings:
        return _Siblings(self.folder, self.device, self._batch_tokens)


class _Siblings:
    """The models of one encoder, which the first of them to be opened brings."""

    def __init__(self, folder: Path, device: torch.device | str | None, batch_tokens: int | None) -> None:
        self.folder, self.device, self.batch_tokens = folder, device, batch_tokens
        self.models: Recent[Model] = Recent(MODELS, self._open)
        self._backbone: Backbone | None = None

    def _open(self, name: str) -> Model:
        model = open_model(self.folder / name, device=self.device, backbone=self._backbone)
        self._backbone = model.network.backbone
        if self.batch_tokens is not None:
            model.use_batch_tokens(self.batch_tokens)
        return model
