"""What several tasks, and adapters of each one's own, ask of the sections beside them: rules as in ``recipe.rules``."""

from __future__ import annotations

from typing import Any

from nlptl.recipe.rules_labels import Problems


def task_adapters_have_tasks(tune: Any, heads: Any, adapt: Any, train: Any) -> Problems:
    """Whether there are several tasks with labels to learn from, and nothing reads answers to unlabelled rows."""
    if getattr(tune, "per", None) != "task":
        return
    if tune.dora:
        yield ("tune", "dora"), "cannot be had with tune.per: task, which stacks plain LoRA; set it to false."
    if len(heads) < 2:
        yield ("tune", "per"), "task gives each of several tasks an adapter, and heads names one; set per: null."
    for place, way in enumerate(adapt):
        yield (
            ("adapt", place),
            f"{way.kind} adapts one body to the target; with tune.per: task leave adapt empty, or set per: null.",
        )
    if train.select in ("snd", "entropy"):
        yield (
            ("train", "select"),
            f"{train.select} reads answers to unlabelled rows, and tune.per: task runs rows for tasks whose label they "
            "have; set source.",
        )


def balances_have_shared_weights(balance: Any, heads: Any, tune: Any) -> Problems:
    """Whether several tasks share weights that learn, which they can pull this way and that."""
    if balance.kind != "equal" and len(heads) > 1 and not tune.learns:
        yield (
            ("balance", "kind"),
            f"{balance.kind} weighs what tasks do to the weights that they share, and with tune.kind: {tune.kind} none "
            "of those learn; set equal, or tune.kind: lora.",
        )
