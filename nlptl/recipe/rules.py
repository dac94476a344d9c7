"""What sections of a recipe say of one another: rules that no field can check alone.

A rule reads the sections that it needs and yields the place and the words of each mistake. It is called with the
sections that are sound in themselves, and skipped where one that it reads is not.
"""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from nlptl.errors import nearest
from nlptl.recipe.rules_adapt import ADAPT_RULES
from nlptl.recipe.rules_anomaly import strange_texts_can_be_told
from nlptl.recipe.rules_chain import CHAIN_RULES
from nlptl.recipe.rules_contrast import (
    contrasts_are_not_the_loop,
    contrasts_have_what_they_need,
    curves_have_labels_to_draw,
)
from nlptl.recipe.rules_cost import scratch_has_trained_heads
from nlptl.recipe.rules_heads import (
    calibrated_as_asked,
    chosen_rungs_are_calibrated,
    frozen_heads,
    names_are_of_labels,
    names_have_a_use,
    per_domain_is_solved,
    texts_are_read_alone,
    unseen_rows_are_held_back,
)
from nlptl.recipe.rules_labels import (
    Problems,
    anomalies_are_no_label,
    judged_on_labels,
    label_columns,
    label_sets,
    label_sources,
    none_held_back,
    one_sample,
    task_names,
)
from nlptl.recipe.rules_overfit import OVERFIT_RULES
from nlptl.recipe.rules_tasks import balances_have_shared_weights, task_adapters_have_tasks
from nlptl.recipe.rules_transfer import (
    distant_is_solved,
    groups_stay_apart,
    labels_to_take,
    rungs_can_be_rehearsed,
    someone_teaches,
    sources_are_weighed,
    time_order,
)
from nlptl.registry import metric_names


def broken(sections: Mapping[str, Any]) -> Problems:
    """The mistakes between ``sections``, the recipe's sound ones by name."""
    for rule in RULES:
        needs = signature(rule).parameters
        if all(name in sections for name in needs):
            yield from rule(**{name: sections[name] for name in needs})


def metrics(evaluate: Any) -> Problems:
    """Whether each metric exists."""
    choices = metric_names()
    for index, name in enumerate(evaluate.metrics):
        if name not in choices:
            hint = nearest(name, choices) or "."
            yield ("evaluate", "metrics", index), f"no metric {name!r}{hint} Choices: {', '.join(choices)}."
        elif name in evaluate.metrics[:index]:
            yield ("evaluate", "metrics", index), f"{name!r} is there twice; keep one."


def metrics_of_a_positive(heads: Any, evaluate: Any) -> Problems:
    """Whether a task says which label ``recall_at_loss`` is to recall."""
    if "recall_at_loss" in evaluate.metrics and not any(head.positive for head in heads.values()):
        task = next(iter(heads))
        yield (
            ("evaluate", "metrics"),
            f"recall_at_loss needs to know the label to be caught; name it as heads.{task}.positive.",
        )


def words_have_a_head(encoder: Any, heads: Any) -> Problems:
    """Whether some head is solved, for words are only read there."""
    if encoder.lexical is not None and not any(head.kind == "linear" for head in heads.values()):
        yield (
            ("encoder", "lexical"),
            f"{encoder.lexical} is read by solved heads, and no head is of kind linear. Set encoder.lexical: null, or "
            "the kind of a head to linear.",
        )


def patience_has_rows(data: Any, train: Any) -> Problems:
    """Whether stopping early has rows to be judged on."""
    if train.patience is not None and judged_on_labels(train) and none_held_back(data, train):
        yield (
            ("train", "patience"),
            "needs teaching rows held back to see when to stop; set train.validation, such as 0.1, data.split, or "
            "patience: null.",
        )


def adapters_apart_are_plain(tune: Any, heads: Any, adapt: Any, balance: Any, transfer: Any, train: Any) -> Problems:
    """Whether adapters of each domain's own can be stacked, and have labels to learn from."""
    if getattr(tune, "per", None) != "domain":
        return
    if tune.dora:
        yield ("tune", "dora"), "cannot be had with tune.per: domain, which stacks plain LoRA; set it to false."
    if transfer.target_labels == 0:
        yield (
            ("transfer", "target_labels"),
            "0 hides the labels of every target, and tune.per: domain learns each target's adapter from them; set all, "
            "or a number a class.",
        )
    if tune.asks_layers:
        yield ("tune", "layers"), "auto is not chosen for adapters of single domains; set all, or a number."
    for task, head in heads.items():
        if head.kind != "linear":
            yield ("heads", task, "kind"), f"{head.kind!r} cannot be stacked for tune.per: domain; set it to linear."
    for place, way in enumerate(adapt):
        yield ("adapt", place), f"{way.kind} adapts one body to all targets; with tune.per: domain leave adapt empty."
    if balance.kind != "equal":
        yield (
            ("balance", "kind"),
            f"{balance.kind} weighs tasks for one body, and tune.per: domain has many; set equal.",
        )
    one_for_all = {
        "validation": 0.0, "select": "source", "sampler": "proportional", "class_weights": None, "patience": None,
    }  # fmt: skip
    for name, plain in one_for_all.items():
        if getattr(train, name) != plain:
            yield (
                ("train", name),
                "is one for all, and with tune.per: domain each domain trains by itself; set it to "
                f"{'null' if plain is None else plain}.",
            )


def rungs_have_rows(data: Any, tune: Any, train: Any) -> Problems:
    """Whether what is chosen on validation rows has some."""
    if tune.kind == "auto" and none_held_back(data, train):
        yield (
            ("tune", "kind"),
            "auto chooses on teaching rows held back; set train.validation, such as 0.1, or data.split.",
        )


def start_to_be_pulled_to(tune: Any, train: Any) -> Problems:
    """Whether L2-SP has pretrained weights to hold."""
    if train.l2_sp > 0 and tune.kind in ("frozen", "lora"):
        yield (
            ("train", "l2_sp"),
            f"pulls pretrained weights that learn towards their start, and tune.kind {tune.kind} leaves them as they "
            "are; set it to 0, or use train.weight_decay.",
        )


RULES: tuple[Callable[..., Problems], ...] = (
    *ADAPT_RULES,
    *CHAIN_RULES,
    someone_teaches,
    labels_to_take,
    time_order,
    task_names,
    anomalies_are_no_label,
    label_columns,
    label_sources,
    one_sample,
    label_sets,
    metrics,
    metrics_of_a_positive,
    words_have_a_head,
    groups_stay_apart,
    sources_are_weighed,
    distant_is_solved,
    rungs_can_be_rehearsed,
    per_domain_is_solved,
    calibrated_as_asked,
    chosen_rungs_are_calibrated,
    unseen_rows_are_held_back,
    strange_texts_can_be_told,
    frozen_heads,
    names_are_of_labels,
    names_have_a_use,
    texts_are_read_alone,
    patience_has_rows,
    rungs_have_rows,
    start_to_be_pulled_to,
    adapters_apart_are_plain,
    scratch_has_trained_heads,
    task_adapters_have_tasks,
    balances_have_shared_weights,
    *OVERFIT_RULES,
    contrasts_have_what_they_need,
    contrasts_are_not_the_loop,
    curves_have_labels_to_draw,
)
