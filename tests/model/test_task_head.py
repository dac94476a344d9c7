"""One task's head under mixed precision."""

import numpy as np
import pytest
import torch

from nlptl.contracts import Task
from nlptl.heads import Linear
from nlptl.heads._solve import row_losses
from nlptl.model import TaskHead


def test_the_loss_of_a_nearly_sure_row_is_not_rounded_away_under_mixed_precision() -> None:
    """Logits 8, 4.5 and 0 of the first label: log(1 + e^-3.5 + e^-8) = .030, of which bfloat16 would leave 0."""
    net = torch.nn.Linear(1, 3)
    with torch.no_grad():
        net.weight.zero_(), net.bias.copy_(torch.tensor([8.0, 4.5, 0.0]))
    head = TaskHead(Task("topic", Linear(), ("gas", "love", "movie")), "last", net)
    with torch.autocast("cpu", torch.bfloat16):
        logits = head({"last": torch.ones(1, 1)})
        loss = row_losses(logits, torch.tensor([[1.0, 0.0, 0.0]]), "softmax").sum()
    loss.backward()
    assert logits.dtype == torch.float32
    assert loss.item() == pytest.approx(np.log(1 + np.exp(-3.5) + np.exp(-8)), rel=1e-4)
    assert net.bias.grad[0].item() == pytest.approx(np.exp(-loss.item()) - 1, rel=0.01)
