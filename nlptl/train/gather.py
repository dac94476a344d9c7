"""Rows of all processes as one tensor, with their gradients; and what one decides for all."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from nlptl.train.batches import share_of

Decided = TypeVar("Decided")


def gathered(tensor: Tensor, rows: int) -> Tensor:
    """The ``rows`` of all processes, of which ``share_of`` gave this one ``tensor``, in the order of processes.

    Differentiable: each process gets the gradients that all of them have with regard to its rows, summed. A process
    without a share passes any one row, which is left out.
    """
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return tensor
    from torch.distributed.nn.functional import all_gather

    world = dist.get_world_size()
    counts = [len(share_of(np.arange(rows), rank=rank, world=world)) for rank in range(world)]
    missing = counts[0] - len(tensor)
    padded = torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])]) if missing else tensor
    parts: tuple[Tensor, ...] = all_gather(padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def of_first(decided: Decided) -> Decided:
    """What the first process decided; to be called by all.

    Processes whose sums differ in the last bit, as on several cards they may, could decide unlike one another, and then
    wait for each other in other places for ever.
    """
    from accelerate.utils import broadcast_object_list

    found: Decided = broadcast_object_list([decided])[0]
    return found
