"""Rows of all processes as one tensor, with their gradients; and what one decides, or does, for all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from nlptl.errors import RunError
from nlptl.train.batches import share_of

Decided = TypeVar("Decided")
Done = TypeVar("Done")


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


@contextmanager
def while_others_wait() -> Iterator[None]:
    """What the first process does alone; the others wait at its end, and fail there where the first one failed.

    Raises:
        RunError: on the others, with the first one's message.
    """
    failed: Exception | None = None
    try:
        yield
    except Exception as error:
        failed = error
    told = of_first(None if failed is None else f"{type(failed).__name__}: {failed}")
    if failed is not None:
        raise failed
    if told is not None:
        raise RunError(f"the first process stopped, and this one with it: {told}")


def first_ahead(work: Callable[[], Done], *, first: bool) -> Done:
    """What ``work`` returns, on this process; the first one's is done before that of the others begins, which find
    what it stored."""
    with while_others_wait():
        done = [work()] if first else []
    return done[0] if done else work()
