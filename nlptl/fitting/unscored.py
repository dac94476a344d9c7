"""What a run says of texts that have no label to be scored by: where none has, the answers are what it leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from nlptl.contracts import Ints
from nlptl.fitting.answers import inputs
from nlptl.fitting.setting import Setting
from nlptl.saved import Model
from nlptl.transfer.plan import Turn

ANSWERS = "answers.parquet"


def unscored_answers(
    setting: Setting, planned: Sequence[tuple[int, Turn, Ints]], models: Mapping[str, Model]
) -> dict[str, dict[str, Any]]:
    """By task, the targets' texts and how many got which answer; empty where some text could be scored. Every answer of
    the first seed goes to ``answers.parquet``, with its text, id and domain."""
    import pandas as pd

    turns = [turn for seed, turn, _ in planned if seed == setting.recipe.seed]
    if any(len(turn.score) for turn in turns):
        return {}
    table = pd.concat([_answers(setting, turn, models) for turn in turns], ignore_index=True)
    table.to_parquet(setting.folder.path / ANSWERS, index=False)
    return {
        name: {"n": len(table), "counts": _counts(task.labels, table[name]), "abstained": int(table[name].isna().sum())}
        for name, task in setting.corpus.tasks.items()
    }


def unmeasured(planned: Sequence[tuple[int, Turn, Ints]], measured: Collection[str]) -> list[str]:
    """The targets of whom no row could be scored, where those of others could; ``measured`` names the latter."""
    targets = dict.fromkeys(target for _, turn, _ in planned for target in turn.targets)
    return [target for target in targets if measured and target not in measured]


def _answers(setting: Setting, turn: Turn, models: Mapping[str, Model]) -> Any:
    """Of the turn's one model, or of each target's own."""
    import pandas as pd

    corpus = setting.corpus
    every = turn.unlabelled[np.isin(corpus.domains[turn.unlabelled].astype(str), turn.targets)]
    whose = corpus.domains[every].astype(str)
    parts = {turn.name: every} if turn.name in models else {target: every[whose == target] for target in turn.targets}
    tables = []
    for name, rows in parts.items():
        given = inputs(setting, models[name], rows)
        told = pd.DataFrame({"id": list(corpus.ids[rows]), "domain": given["domains"], "text": given["texts"]})
        tables.append(pd.concat([told, models[name].table(**given)], axis=1))
    return pd.concat(tables, ignore_index=True)


def _counts(labels: Sequence[str], answers: Any) -> dict[str, int]:
    """By label; a row of several labels counts for each, and one without an answer for none."""
    given = answers.dropna()
    counted = Counter(label for answer in given for label in ([answer] if isinstance(answer, str) else answer))
    return {label: counted[label] for label in labels}
