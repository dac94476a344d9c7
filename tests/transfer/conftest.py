"""A made data set of a few users, and a way to plan over it."""

from collections.abc import Callable
from typing import Any

import pytest
from datasets import Dataset

from nlptl.contracts import Task
from nlptl.heads.linear import Linear
from nlptl.recipe import Transfer
from nlptl.transfer.plan import Turn, plan

TASKS = {
    "spam": Task("spam", Linear(kind="linear"), ("ham", "spam")),
    "topic": Task("topic", Linear(kind="linear"), ("work", "home", "shop")),
    "marks": Task("marks", Linear(kind="linear", multilabel=True), ("urgent", "private")),
}


@pytest.fixture
def made() -> Callable[..., Dataset]:
    """``made(users=…, rows=…, column=[…])``: rows of each user, in turn ham and spam; columns replace or add."""

    def make(users: tuple[str, ...] = ("ann", "bob", "cy"), rows: int = 40, **columns: list[Any]) -> Dataset:
        names = [user for user in users for _ in range(rows)]
        table: dict[str, list[Any]] = {
            "id": [f"{name}/{place % rows}" for place, name in enumerate(names)],
            "text": [f"text {place}" for place in range(len(names))],
            "domain": names,
            "spam": ["ham" if place % 2 else "spam" for place in range(len(names))],
        }
        return Dataset.from_dict(table | columns)

    return make


@pytest.fixture
def planned() -> Callable[..., list[Turn]]:
    """``planned(dataset, **transfer)``: task spam, no sample and seed 0 unless said otherwise."""

    def planner(
        dataset: Dataset,
        *,
        sample: int | None = None,
        seed: int = 0,
        tasks: tuple[str, ...] = ("spam",),
        **transfer: Any,
    ) -> list[Turn]:
        return plan(dataset, Transfer(**transfer), {name: TASKS[name] for name in tasks}, sample=sample, seed=seed)

    return planner
