"""What a recipe says of its tasks and their labels: rules beside those of ``recipe.rules``."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from nlptl.errors import nearest
from nlptl.recipe.yaml import KeyPath

Problems: TypeAlias = Iterator[tuple[KeyPath, str]]

RESERVED = ("text", "text_pair", "domain", "time", "split", "id")
"""Columns of every data set that is read; a task's labels are the column named as the task."""
PROBLEM = "problem"
"""The column of answered files that says why a row has no answer, as ``what: detail``."""


def task_names(heads: Any) -> Problems:
    """Whether each task's name is free to be a column, of data and of answers, and a step of a dotted setting."""
    for task in heads:
        if task in (*RESERVED, PROBLEM):
            why = "is the name of a column of its own"
        elif "." in task or not task.strip():
            why = "must be a name without a dot: settings are heads.<task>.<key>, columns of answers <task>.<label>"
        else:
            continue
        yield ("heads", task), f"{task!r} {why}; name the task after what it tells apart, and its labels by column."


def anomalies_are_no_label(heads: Any, evaluate: Any) -> Problems:
    """Whether the label of anomalies is not one that the first task is to answer, and rows have one label each."""
    if evaluate.anomalies is None:
        return
    task, head = next(iter(heads.items()))
    label = evaluate.anomalies.label
    if head.multilabel:
        yield (
            ("evaluate", "anomalies"),
            f"reads one label a row, and task {task!r} has several; put another task first.",
        )
    if label in (head.labels or ()) or label == head.positive:
        yield (
            ("evaluate", "anomalies", "label"),
            f"{label!r} is a label that task {task!r} is to answer; take it out of heads.{task}, or name another.",
        )


def label_columns(data: Any, heads: Any) -> Problems:
    """Whether a task's labels are read from another column than the text."""
    for task, head in heads.items():
        if head.column is None and task in RESERVED:
            continue  # ``task_names`` refuses it
        column = head.column or task
        read = [source for place, source in sources(data) if head.source in (None, place[-1])]
        if any(source.text == column for source in read):
            yield ("heads", task, "column"), f"{column!r} is the column of the text; name that of the labels."


def label_sources(data: Any, heads: Any) -> Problems:
    """Whether the source that a task's labels are read from is there."""
    names = list(data) if isinstance(data, dict) else []
    for task, head in heads.items():
        if head.source is not None and head.source not in names:
            choices = f"Choices: {', '.join(names)}." if names else "data is one source: leave it out."
            yield (
                ("heads", task, "source"),
                f"no source of data is named {head.source!r}{nearest(head.source, names) or '.'} {choices}",
            )


def one_sample(data: Any) -> Problems:
    """Whether all sources ask for as many rows a domain: a domain may have rows of several."""
    (place, first), *others = sources(data)
    for other, source in others:
        if source.sample != first.sample:
            yield (
                (*other, "sample"),
                f"{source.sample} rows a domain are asked for, and {first.sample} by {'.'.join(map(str, place))}; give "
                "every source the same number, or none.",
            )


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


def judged_on_labels(train: Any) -> bool:
    """Whether epochs are judged on rows with labels, and not by the answers to the target's texts."""
    return train.select in ("source", "importance")


def none_held_back(data: Any, train: Any) -> bool:
    """Whether no row is held back from those that teach, and no official split could name any."""
    return bool(train.validation == 0 and all(source.split is None for _, source in sources(data)))


def sources(data: Any) -> list[tuple[KeyPath, Any]]:
    """Each source with its place in the recipe."""
    return (
        [(("data", name), source) for name, source in data.items()] if isinstance(data, dict) else [(("data",), data)]
    )
