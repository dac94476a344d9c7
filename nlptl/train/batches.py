"""Batches of similar length under a token budget, the same for one process and for many."""

import numpy as np

from nlptl.contracts import Ints
from nlptl.encoder.tokens import LOOSE_MULTIPLE, token_batches

WINDOW = 32
"""Batches' worth of shuffled rows that are sorted by length together: enough that hardly any padding is left, few
enough that an epoch stays well mixed."""


def epoch_batches(lengths: Ints, *, batch_tokens: int, batch_rows: int | None, seed: int, epoch: int) -> list[Ints]:
    """The batches of one epoch: arrays of row positions, every row once, in an order drawn from (seed, epoch).

    Args:
        lengths: (rows,) tokens of each row.
        batch_tokens: most tokens a batch, padding included; a longer row is a batch of its own.
        batch_rows: rows a batch instead; then rows are not sorted, and the last batch may be smaller.
    """
    rng = np.random.default_rng((seed, epoch))
    rows = rng.permutation(len(lengths))
    if batch_rows is not None:
        return [rows[start : start + batch_rows] for start in range(0, len(rows), batch_rows)]
    mean_length = max(1.0, float(lengths.mean())) if len(lengths) else 1.0
    window = max(1, int(WINDOW * batch_tokens / mean_length))
    batches = []
    for start in range(0, len(rows), window):
        here = rows[start : start + window]
        batches += [here[batch] for batch in token_batches(lengths[here], batch_tokens, multiple=LOOSE_MULTIPLE)]
    return [batches[place] for place in rng.permutation(len(batches))]


def share_of(batch: Ints, *, rank: int, world: int) -> Ints:
    """The rows of a global batch that process ``rank`` of ``world`` works on; sorted rows are dealt like cards."""
    return batch[rank::world]
