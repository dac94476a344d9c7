"""What every system answered on every scored row: the evidence that results, intervals and comparisons are made from.

Saved as ``predictions.parquet``, one row a (seed, turn, task, scored row), without any text: columns ``seed``,
``turn``, ``task``, ``id``, ``copy`` (the id of the first scored row whose text is the same, or nearly), ``domain``,
``labels`` (names; one but for multilabel tasks), ``shipped`` (the rung that serves the domain) and, for each system,
its probabilities in the task's label order. The label order stands in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.errors import DataError, RunError

if TYPE_CHECKING:
    import pyarrow as pa

    from nlptl.contracts import Floats, Task

MODEL = "model"
"""The system that ships; the others are baselines and lower rungs."""

_METADATA = b"nlptl.tasks"
_KEYS = ("seed", "turn", "task", "id", "copy", "domain", "labels", "shipped")


@dataclass(frozen=True)
class LabelSet:
    """What it takes to read a task's probabilities without its recipe."""

    labels: tuple[str, ...]
    multilabel: bool = False

    @classmethod
    def of(cls, task: Task) -> LabelSet:
        """Of a resolved task."""
        return cls(task.labels, task.head.multilabel)


@dataclass(frozen=True)
class Scored:
    """The scored rows of one task in one turn of one seed.

    ``turn`` names what one training served: the target of a leave-one-out turn, else any one name. ``ids``,
    ``domains``, ``copies`` and ``shipped`` are (n,) texts; rows of one copy are one text that was met more than once,
    which is no more evidence than meeting it once. ``labels`` is as ``Task.encode`` gives it, without unlabelled rows;
    ``probabilities`` maps each system, ``model`` among them, to (n, labels).
    """

    seed: int
    turn: str
    task: str
    ids: npt.NDArray[Any]
    domains: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    copies: npt.NDArray[Any]
    probabilities: Mapping[str, Floats]
    shipped: npt.NDArray[Any]

    def __post_init__(self) -> None:
        where = f"task {self.task!r}, seed {self.seed}, turn {self.turn!r}"
        columns = (self.ids, self.domains, self.labels, self.copies, self.shipped, *self.probabilities.values())
        if len({len(column) for column in columns}) != 1:
            raise RunError(f"predictions of {where}: columns differ in length: {[len(column) for column in columns]}.")
        if MODEL not in self.probabilities:
            raise RunError(f"predictions of {where}: no system is named {MODEL!r}.")
        broken = [name for name, values in self.probabilities.items() if not np.isfinite(values).all()]
        if broken:
            raise RunError(f"predictions of {where}: probabilities of {', '.join(broken)} are not all numbers.")
        unlabelled = np.isnan(self.labels).any(axis=1) if self.labels.ndim == 2 else self.labels < 0
        if unlabelled.any():
            raise RunError(f"predictions of {where}: {unlabelled.sum()} rows have no label; leave them out.")

    def of_domain(self, domain: str) -> Scored:
        """Its rows of one domain."""
        rows = self.domains == domain
        probabilities = {system: values[rows] for system, values in self.probabilities.items()}
        return Scored(
            self.seed, self.turn, self.task, self.ids[rows], self.domains[rows], self.labels[rows], self.copies[rows],
            probabilities, self.shipped[rows],
        )  # fmt: skip


@dataclass(frozen=True)
class Predictions:
    """All scored rows of a run, and the label set of each task."""

    tasks: Mapping[str, LabelSet]
    scored: tuple[Scored, ...]

    def __post_init__(self) -> None:
        for task in self.tasks:
            for seed in self.seeds(task):
                ids = np.concatenate([part.ids for part in self.scored if (part.task, part.seed) == (task, seed)])
                if len(np.unique(ids)) < len(ids):
                    raise RunError(f"predictions of task {task!r}, seed {seed}: a row is scored twice.")

    def seeds(self, task: str) -> list[int]:
        """The seeds under which rows of ``task`` were scored, sorted."""
        return sorted({part.seed for part in self.scored if part.task == task})

    def by_domain(self, task: str) -> dict[str, list[Scored]]:
        """The scored rows of each domain, sorted by name: one part a seed, in order of seeds."""
        names = {str(name) for part in self.scored if part.task == task for name in np.unique(part.domains)}
        return {name: self._of_domain(task, name) for name in sorted(names)}

    def _of_domain(self, task: str, domain: str) -> list[Scored]:
        parts = [part.of_domain(domain) for part in self.scored if part.task == task and (part.domains == domain).any()]
        return [joined([part for part in parts if part.seed == seed]) for seed in sorted({p.seed for p in parts})]

    def save(self, path: Path) -> Path:
        """Write the parquet file, whole or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = [_table(part, self.tasks[part.task]) for part in self.scored]
        described = {name: {"labels": t.labels, "multilabel": t.multilabel} for name, t in self.tasks.items()}
        table = pa.concat_tables(tables, promote_options="default")
        table = table.replace_schema_metadata({_METADATA: json.dumps(described).encode()})
        partial = path.with_name(path.name + ".partial")
        pq.write_table(table, partial, compression="zstd")
        partial.replace(path)
        return path

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what ``save`` wrote.

        Raises:
            DataError: the file is absent, damaged, or not one of ours.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not path.is_file():
            raise DataError(f"{path} does not exist; it is written when a run has finished.")
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} cannot be read ({error}); run the recipe again.") from error
        if _METADATA not in (table.schema.metadata or {}):
            raise DataError(f"{path} holds no predictions of nlptl: its metadata lack {_METADATA.decode()!r}.")
        described = json.loads(table.schema.metadata[_METADATA])
        tasks = {name: LabelSet(tuple(t["labels"]), t["multilabel"]) for name, t in described.items()}
        return cls(tasks, tuple(_parts(table, tasks)))


def joined(parts: Sequence[Scored]) -> Scored:
    """Rows of one seed and domain as one part, with the systems that all of them have."""
    first = parts[0]
    if len(parts) == 1:
        return first
    systems = [name for name in first.probabilities if all(name in part.probabilities for part in parts)]
    return Scored(
        first.seed, first.turn, first.task, np.concatenate([p.ids for p in parts]),
        np.concatenate([p.domains for p in parts]), np.concatenate([p.labels for p in parts]),
        np.concatenate([p.copies for p in parts]),
        {name: np.concatenate([p.probabilities[name] for p in parts]) for name in systems},
        np.concatenate([p.shipped for p in parts]),
    )  # fmt: skip


def _table(part: Scored, task: LabelSet) -> pa.Table:
    import pyarrow as pa

    labels = part.labels if task.multilabel else np.eye(len(task.labels))[part.labels]
    names = [[task.labels[place] for place in np.flatnonzero(row)] for row in labels]
    fixed = {
        "seed": pa.array([part.seed] * len(names), pa.int64()),
        "turn": pa.array([part.turn] * len(names), pa.string()),
        "task": pa.array([part.task] * len(names), pa.string()),
        "id": pa.array(list(map(str, part.ids)), pa.string()),
        "copy": pa.array(list(map(str, part.copies)), pa.string()),
        "domain": pa.array(list(map(str, part.domains)), pa.string()),
        "labels": pa.array(names, pa.list_(pa.string())),
        "shipped": pa.array(list(map(str, part.shipped)), pa.string()),
    }
    systems = {name: pa.array(values.tolist(), pa.list_(pa.float64())) for name, values in part.probabilities.items()}
    return pa.table({**fixed, **systems})


def _parts(table: pa.Table, tasks: Mapping[str, LabelSet]) -> Iterable[Scored]:
    systems = [name for name in table.column_names if name not in _KEYS]
    for (seed, turn, name), rows in table.to_pandas().groupby(["seed", "turn", "task"], sort=False):
        task = tasks[name]
        index = {label: place for place, label in enumerate(task.labels)}
        held = np.array([[float(label in given) for label in task.labels] for given in rows["labels"]])
        labels = held if task.multilabel else np.array([index[given[0]] for given in rows["labels"]])
        present = [system for system in systems if rows[system].notna().all()]
        probabilities = {system: np.stack(list(rows[system])) for system in present}
        ids, copies, domains, shipped = (
            rows[key].to_numpy(dtype=object) for key in ("id", "copy", "domain", "shipped")
        )
        yield Scored(int(seed), str(turn), str(name), ids, domains, labels, copies, probabilities, shipped)
