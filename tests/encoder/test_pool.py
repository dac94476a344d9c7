import pytest
import torch

from nlptl.encoder.pool import first_pool, max_pool, mean_of_layers, mean_of_owners, mean_pool

HIDDEN = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [99.0, 99.0]], [[5.0, 6.0], [7.0, 8.0], [9.0, 1.0]]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


def test_hand_sized_numbers() -> None:
    assert mean_pool(HIDDEN, MASK).tolist() == [[2.0, -3.0], [7.0, 5.0]]
    assert first_pool(HIDDEN).tolist() == [[1.0, -4.0], [5.0, 6.0]]
    assert max_pool(HIDDEN, MASK).tolist() == [[3.0, -2.0], [9.0, 8.0]]
    assert mean_of_layers([torch.tensor([[1.0]]), torch.tensor([[4.0]])]).tolist() == [[2.5]]


@pytest.mark.parametrize("pool", [mean_pool, max_pool])
def test_what_stands_under_padding_does_not_matter(pool: object) -> None:
    changed = HIDDEN.clone()
    changed[0, 2] = -1e6
    assert callable(pool) and torch.equal(pool(HIDDEN, MASK), pool(changed, MASK))


def test_half_precision_is_summed_in_float32() -> None:
    hidden = torch.full((1, 1000, 1), 1.0078125, dtype=torch.bfloat16)
    pooled = mean_pool(hidden, torch.ones(1, 1000))
    assert pooled.dtype == torch.float32 and pooled.item() == pytest.approx(1.0078125, abs=1e-6)


def test_sequences_of_one_text_are_averaged_by_their_tokens() -> None:
    vectors = torch.tensor([[1.0], [5.0], [7.0]])
    joined = mean_of_owners(vectors, torch.tensor([3, 1, 2]), torch.tensor([0, 0, 1]), 2)
    assert joined.tolist() == [[2.0], [7.0]]
