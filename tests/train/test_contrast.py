"""The training by contrasts: stopped and gone on with, side by side, in groups, and refused where it breaks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nlptl.encoder.backbone import Backbone
from nlptl.encoder.tokens import tokenize
from nlptl.errors import RunError
from nlptl.recipe import Encoder
from nlptl.train import contrast
from nlptl.train.contrast import Contrasting
from nlptl.tune._contrast import contrastive_losses
from nlptl.tune.contrastive import Contrastive

TEXTS = ["free cash prize", "the report is here for you and for him", "win a prize", "the meeting", "click", "gas"]
CLASSES = np.array([0, 1, 0, 1, 0, -1])


def body(model: Path, *, seed: int = 0, **settings: object) -> Contrasting:
    torch.manual_seed(0)
    tune = Contrastive(**{"rows": 4, "lr": 1e-3} | settings)
    backbone = tune.apply(Backbone.load(Encoder(model=str(model), max_length=24))).freeze("float32")
    return Contrasting(backbone, tune, tokenize(backbone, TEXTS), {"t": CLASSES}, {"t": "last"}, seed)


def weights(of: Contrasting) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in of.learning])


def test_going_on_is_the_same_as_not_stopping_also_beside_another_body(tiny_encoder: Path) -> None:
    once, parts, other = body(tiny_encoder), body(tiny_encoder), body(tiny_encoder, seed=1)
    start = weights(once)
    once.advance(4)
    for _ in range(2):
        parts.advance(2)
        other.advance(2)
    assert parts.steps == 4
    torch.testing.assert_close(weights(parts), weights(once), rtol=0, atol=0)
    assert not torch.equal(weights(once), start) and not torch.equal(weights(other), weights(once))


def test_training_lowers_the_loss_of_the_rows(tiny_encoder: Path) -> None:
    trained = body(tiny_encoder, body="lora", lr=1e-2)

    def loss() -> float:
        with torch.no_grad():
            vectors = trained.backbone(trained.tokens.batch(np.arange(5)), ["last"])["last"]
        return float(contrastive_losses(vectors, torch.from_numpy(CLASSES[:5]), 0.3).mean())

    before = loss()
    trained.advance(10)
    assert loss() < before - 0.05


def test_groups_of_like_length_change_nothing(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = body(tiny_encoder)
    whole.advance(2)
    monkeypatch.setattr(contrast, "GROUP_TOKENS", 1)
    alone = body(tiny_encoder)
    alone.advance(2)
    torch.testing.assert_close(weights(alone), weights(whole), rtol=1e-4, atol=1e-6)


def test_what_is_no_number_ends_the_training_by_name(tiny_encoder: Path) -> None:
    broken = body(tiny_encoder)
    with torch.no_grad():
        broken.learning[0].fill_(float("nan"))
    with pytest.raises(RunError, match=r"contrastive step 1: the loss is nan .* lower tune.lr \(it is 0.001\)"):
        broken.advance(1)
