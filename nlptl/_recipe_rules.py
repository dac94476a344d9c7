"""What sections of a recipe say of one another: rules that no field can check alone.

A rule reads the sections that it needs and yields the place and the words of each mistake. It is called with the
sections that are sound in themselves, and skipped where one that it reads is not.
"""

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any, TypeAlias

from nlptl._recipe_yaml import KeyPath
from nlptl.errors import nearest
from nlptl.registry import metric_names

Problems: TypeAlias = Iterator[tuple[KeyPath, str]]

RESERVED = ("text", "text_pair", "domain", "time", "split", "id")
"""Columns of every data set that is read; a task's labels are the column named as the task."""


def broken(sections: Mapping[str, Any]) -> Problems:
    """The mistakes between ``sections``, the recipe's sound ones by name."""
    for rule in RULES:
        needs = signature(rule).parameters
        if all(name in sections for name in needs):
            yield from rule(**{name: sections[name] for name in needs})


def someone_teaches(transfer: Any) -> Problems:
    """Whether rows remain that teach, as far as the patterns tell."""
    source, target = _names(transfer.source), _names(transfer.target)
    all_served = "*" in target or source <= target
    everything_scored = transfer.hold_out == 1 and transfer.target_labels != 0
    if transfer.protocol == "leave_one_out":
        return
    if transfer.target_labels == 0 and all_served:
        yield (
            ("transfer", "target_labels"),
            "0 hides the labels of every target, and every source is a target too: nobody teaches. Name the target, "
            "such as transfer.target: [kitchen-l], or set transfer.protocol: leave_one_out.",
        )
    elif everything_scored and all_served:
        yield (
            ("transfer", "hold_out"),
            "1 scores every row of every target, and every source is a target too: nobody teaches. Lower it, name the "
            "target, or set transfer.protocol: leave_one_out.",
        )


def labels_to_take(transfer: Any) -> Problems:
    """Whether a target has unscored rows whose labels may be asked for."""
    if transfer.hold_out == 1 and isinstance(transfer.target_labels, int) and transfer.target_labels > 0:
        yield (
            ("transfer", "target_labels"),
            f"{transfer.target_labels} labels a class cannot be taken from a target whose rows are all scored "
            "(transfer.hold_out: 1). Set transfer.target_labels: 0 or lower transfer.hold_out.",
        )


def time_order(data: Any, transfer: Any) -> Problems:
    """Whether rows that are to be ordered by time have one."""
    if transfer.order == "time":
        for path, source in _sources(data):
            if source.time is None:
                yield (*path, "time"), "is missing, and transfer.order: time needs it; name the column of the time."


def task_names(heads: Any) -> Problems:
    """Whether each task's name is free to be a column."""
    for task in heads:
        if task in RESERVED:
            yield (
                ("heads", task),
                f"{task!r} is the name of a column of its own; name the task after what it tells apart.",
            )


def label_columns(data: Any, heads: Any) -> Problems:
    """Whether a task's labels are read from another column than the text."""
    for task, head in heads.items():
        for _, source in _sources(data):
            if head.column is not None and head.column == source.text:
                yield ("heads", task, "column"), f"{head.column!r} is the column of the text; name that of the labels."
                break


def label_sets(heads: Any) -> Problems:
    """Whether each task's labels are a set that its other settings agree with."""
    for task, head in heads.items():
        labels = head.labels
        if labels is None:
            continue
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            yield ("heads", task, "labels"), f"{', '.join(map(repr, twice))} is there twice; keep one."
        if head.positive is not None and head.positive not in labels:
            hint = nearest(head.positive, labels) or "."
            yield (
                ("heads", task, "positive"),
                f"{head.positive!r} is no label{hint} Choices: {', '.join(dict.fromkeys(labels))}.",
            )
        cut = [label for label in labels if head.multilabel and head.separator in label]
        if cut:
            yield (
                ("heads", task, "separator"),
                f"{head.separator!r} is within label {cut[0]!r}, which a cell of several labels would be cut at; "
                "choose another separator.",
            )


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


def patience_has_rows(train: Any) -> Problems:
    """Whether stopping early has rows to be judged on."""
    if train.patience is not None and train.validation == 0:
        yield (
            ("train", "patience"),
            "needs teaching rows held back to see when to stop; set train.validation, such as 0.1, or patience: null.",
        )


RULES: tuple[Callable[..., Problems], ...] = (
    someone_teaches,
    labels_to_take,
    time_order,
    task_names,
    label_columns,
    label_sets,
    metrics,
    metrics_of_a_positive,
    words_have_a_head,
    patience_has_rows,
)


def _names(names: str | tuple[str, ...]) -> set[str]:
    return {names} if isinstance(names, str) else set(names)


def _sources(data: Any) -> list[tuple[KeyPath, Any]]:
    return (
        [(("data", name), source) for name, source in data.items()] if isinstance(data, dict) else [(("data",), data)]
    )
