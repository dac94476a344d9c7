"""The results of a run: what ``results.json`` holds, and how it shows itself in a terminal and a notebook."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlptl.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group


class Results(Mapping[str, Any]):
    """A read-only view of ``results.json``; prints as a table. ``docs/results.md`` says what every key means."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values: dict[str, Any] = _plain(values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        from nlptl.report.table import verdict

        return f"Results({'; '.join(verdict(name, task) for name, task in self['tasks'].items())})"

    def __rich__(self) -> Group:
        from nlptl.report.table import terminal

        return terminal(self)

    def _repr_html_(self) -> str:
        from nlptl.report.table import html

        return html(self)

    def to_frame(self) -> pd.DataFrame:
        """One row a (task, domain, system): ``n``, and each metric with its ``_low`` and ``_high`` ends of 95 %; none
        where nothing could be scored."""
        import pandas as pd

        rows = []
        for task, of_task in self["tasks"].items():
            for system, table in {"model": of_task, **of_task["baselines"], **of_task["rungs"]}.items():
                for domain, cell in table["domains"].items():
                    row = {"task": task, "domain": domain, "system": system, "n": of_task["domains"][domain]["n"]}
                    for metric, value in cell["metrics"].items():
                        low, high = cell["ci95"][metric]
                        row |= {metric: value, f"{metric}_low": low, f"{metric}_high": high}
                    rows.append(row)
        index = ["task", "domain", "system"]
        return pd.DataFrame(rows, columns=None if rows else [*index, "n"]).set_index(index)

    def save(self, path: Path) -> Path:
        """Write ``results.json``, whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(self._values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(path)
        return path

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what ``save`` wrote.

        Raises:
            DataError: the file is absent or not JSON.
        """
        try:
            return cls(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise DataError(f"{path} does not exist; it is written when a run has finished.") from None
        except json.JSONDecodeError as error:
            raise DataError(f"{path} is damaged ({error}); run the recipe again.") from None


def assemble(
    *,
    recipe: Mapping[str, Any],
    seed: int,
    tasks: Mapping[str, Any],
    seconds: Mapping[str, float],
    params: Mapping[str, int],
    peak_rss_mb: float,
    leaks: Mapping[str, int],
    rejected: int,
    encoder: Mapping[str, Any],
    chosen: Sequence[Mapping[str, Any]] = (),
    matrix: Mapping[str, Mapping[str, float | None]] | None = None,
    curves: Mapping[str, Any] | None = None,
    multitask: Mapping[str, Any] | None = None,
    gate: Sequence[Mapping[str, Any]] = (),
    negative_transfer: Sequence[Mapping[str, Any]] | None = None,
    decisions: Sequence[Mapping[str, Any]] = (),
    cost: Mapping[str, Any] | None = None,
    anomalies: Sequence[Mapping[str, Any]] | None = None,
    strange: Sequence[Mapping[str, Any]] = (),
) -> Results:
    """All of ``results.json``; the first task's ``overall``, ``domains`` and ``baselines`` are repeated at the top.

    Args:
        tasks: what ``nlptl.evaluate.summary.summarise`` returns.
        encoder: shares of ``truncated`` texts and ``unknown`` tokens, and whatever else is worth telling.
        chosen: what each seed's turn chose for each task on its folds, one mapping of plain values each.
        gate: for each seed, task and domain the rung that was shipped and the trials that say why.
        negative_transfer: where asked for, each task and target beside its own head, and the sources that hurt.
        decisions: for each seed, task and domain of a calibrated head its temperature, its threshold, and what came of
            them on the scored rows: calibration error and log loss after and before, and the shares lost and caught.
        anomalies: where asked for, each score's area under the ROC curve of rows that are to be told from the rest.
        strange: for each seed, task and domain whose model tells strange texts, the threshold, the share of rows like
            those that taught which it is to flag, and the share of the scored rows that it flagged.
        matrix: accuracy of a head solved on each source (outer) on each target (inner).
        cost: what was spent, and beside it what training from scratch spends and reaches, where that was asked for.
        multitask: of several tasks, ``solo`` gains by task and ``conflicts`` of their gradients.
    """
    first = next(iter(tasks.values()))
    return Results(
        {
            "recipe": recipe,
            "seed": seed,
            "tasks": tasks,
            **{key: first[key] for key in ("overall", "domains", "baselines", "seeds")},
            "matrix": matrix,
            "curves": curves,
            "multitask": multitask,
            "seconds": seconds,
            "params": params,
            "peak_rss_mb": peak_rss_mb,
            "leaks": leaks,
            "rejected": rejected,
            "encoder": encoder,
            "chosen": chosen,
            "gate": gate,
            "negative_transfer": negative_transfer,
            "decisions": decisions,
            "cost": cost,
            "anomalies": anomalies,
            "strange": strange,
        }
    )


def _plain(value: Any) -> Any:
    """Plain values that JSON knows: NumPy numbers as Python's, numbers that are none (NaN, infinity) as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
