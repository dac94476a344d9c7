"""Made tasks and predictions for the tests of evaluation and reports."""

from collections.abc import Mapping, Sequence

import numpy as np

from nlptl.contracts import Head, Task
from nlptl.evaluate.predictions import LabelSet, Predictions, Scored

SPAM = Task("spam", Head(kind="linear", positive="spam"), ("ham", "spam"))
TOPIC = Task("topic", Head(kind="linear"), ("a", "b", "c"))
TAGS = Task("tags", Head(kind="linear", multilabel=True), ("x", "y", "z"))

EVIL = "<script>alert('x')</script> [bold]|*"
"""A domain's name as an attacker, or a mailbox, might have it."""


def noisy(labels: np.ndarray, task: Task, right: float, rng: np.random.Generator) -> np.ndarray:
    """Probabilities (n, labels) whose likeliest label is the given one in a share ``right`` of the rows."""
    if task.head.multilabel:
        flipped = rng.random(labels.shape) >= right
        return np.where(flipped, 1 - labels, labels) * 0.8 + 0.1
    answers = np.where(rng.random(len(labels)) < right, labels, rng.integers(len(task.labels), size=len(labels)))
    raw = rng.random((len(labels), len(task.labels))) * 0.5 + np.eye(len(task.labels))[answers]
    return raw / raw.sum(axis=1, keepdims=True)


def scored(
    task: Task = SPAM,
    *,
    seed: int = 0,
    domains: Mapping[str, int] | None = None,
    skills: Mapping[str, float] | None = None,
    draw: int = 0,
    ids: Sequence[str] | None = None,
) -> Scored:
    """One part: so many rows a domain, each system right on about its ``skills`` share of them."""
    rng = np.random.default_rng([seed, draw])
    sizes = domains or {"ann": 120, "bob": 80}
    names = np.repeat(list(sizes), list(sizes.values())).astype(object)
    labels = rng.integers(len(task.labels), size=len(names))
    if task.head.multilabel:
        labels = rng.integers(2, size=(len(names), len(task.labels))).astype(np.float32)
    skills = skills or {"model": 0.95, "majority": 0.1, "tfidf": 0.8, "probe": 0.7}
    of_rows = np.array(ids or [f"{n}-{i}" for i, n in enumerate(names)], dtype=object)
    return Scored(
        seed, "all", task.name, of_rows, names, labels, of_rows,
        {system: noisy(labels, task, right, rng) for system, right in skills.items()},
        np.array(["lora"] * len(names), dtype=object),
    )  # fmt: skip


def predictions(*parts: Scored, tasks: Sequence[Task] = (SPAM,)) -> Predictions:
    return Predictions({task.name: LabelSet.of(task) for task in tasks}, parts)
