"""A network with an adapter for each task beside a shared one, where the recipe asks for them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from nlptl.encoder.backbone import Backbone
from nlptl.model import Network, TaskHead
from nlptl.model.task_network import TaskNetwork
from nlptl.recipe import Recipe
from nlptl.tune._task_bank import TaskShelf
from nlptl.tune.lora import Lora


def per_task(recipe: Recipe) -> bool:
    """Whether each task is to have an adapter of its own."""
    return isinstance(recipe.tune, Lora) and recipe.tune.per == "task"


def task_network(backbone: Backbone, heads: Mapping[str, TaskHead], tune: Lora, seed: int) -> TaskNetwork:
    """``backbone``, not adapted so far, with a shared adapter and one a task, drawn by ``seed``."""
    bank = tune.stack_tasks(backbone, list(heads))
    bank.begin(torch.Generator().manual_seed(seed))
    return TaskNetwork(backbone, heads, bank)


def shelf_of(network: Network) -> TaskShelf | None:
    """What the network's tasks are answered by, where they have adapters of their own."""
    return TaskShelf(network.bank, network.backbone.base_name) if isinstance(network, TaskNetwork) else None
