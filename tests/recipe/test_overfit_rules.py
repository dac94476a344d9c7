"""Means against overfitting that have nothing to act on, or that would count twice, are refused."""

from typing import Any

import pytest

from nlptl.errors import RecipeError
from nlptl.recipe import Recipe

LORA: dict[str, Any] = {"tune": {"kind": "lora"}, "train": {"validation": 0.2}}
REFIT: dict[str, Any] = {"tune": {"kind": "lora"}, "train": {"validation": 0.2, "refit": True}}
MLP: dict[str, Any] = {"heads": {"spam": {"kind": "mlp", "batch_norm": True}}, "train": {"validation": 0.2}}


def recipe(**sections: Any) -> Recipe:
    return Recipe(**{"data": {"kind": "csv", "path": "x.csv"}, "heads": {"spam": {"kind": "linear"}}} | sections)


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"train": {"mixout": 0.5}}, "train.mixout: puts pretrained weights that learn back to their start"),
        (LORA | {"train": {"mixout": 0.5}}, "tune.kind lora leaves them as they are"),
        ({"augment": [{"kind": "eda"}, {"kind": "eda"}]}, r"augment.1: eda is there twice"),
        (
            LORA | {"augment": [{"kind": "cutoff"}, {"kind": "mixup"}]},
            "mixup and cutoff both change what a batch shows",
        ),
        (
            LORA | {"augment": [{"kind": "cutoff"}], "train": {"validation": 0.2, "r_drop": 1.0}},
            "cutoff and train.r_drop both make a batch's passes",
        ),
        ({"augment": [{"kind": "cutoff"}]}, "cutoff leaves out parts of texts while the body learns"),
        (
            {"augment": [{"kind": "mixup"}]},
            "mixup mixes vectors while a head is trained, and every head here is solved",
        ),
        ({"tune": {"kind": "lora"}, "augment": [{"kind": "eda"}]}, "set train.validation, such as 0.2, or data.split"),
        (
            {"encoder": {"pool": "mix"}, "augment": [{"kind": "eda"}]},
            "augment: is kept where teaching rows held back say so; set train.validation",
        ),
        (
            {"adapt": [{"kind": "entropy"}], "augment": [{"kind": "eda"}]},
            "augment: is kept where teaching rows held back say so; set train.validation",
        ),
        ({"heads": {"spam": {"kind": "knn"}}, "augment": [{"kind": "eda"}]}, "does not teach heads.spam, a knn"),
        (
            {"heads": {"spam": {"kind": "linear", "per": "domain"}}, "augment": [{"kind": "eda"}]},
            "heads.spam.per would count them",
        ),
        (
            {"transfer": {"choose": "auto", "source": ["a"], "target": ["b"]}, "augment": [{"kind": "eda"}]},
            "is not tried by transfer.choose: auto",
        ),
        (
            {"tune": {"kind": "lora", "per": "domain"}, "train": {"class_weights": "balanced"}},
            "train.class_weights: is one for all, and with tune.per: domain each domain trains by itself; set it to",
        ),
        (
            {"tune": {"kind": "lora", "per": "domain"}, "train": {"select": "snd"}},
            "train.select: is one for all, and with tune.per: domain each domain trains by itself; set it to source",
        ),
        (
            {"tune": {"kind": "lora", "per": "domain"}, "train": {"average": "ema"}},
            "train.average: is not taken with tune.per: domain",
        ),
        (
            {"tune": {"kind": "lora", "per": "domain"}, "augment": [{"kind": "eda"}]},
            "augment: eda is not made with tune.per: domain",
        ),
        (MLP | {"adapt": [{"kind": "coral"}]}, "heads.spam.batch_norm: norms by the rows of a batch, and coral"),
        (
            {"tune": {"kind": "lora"}, "train": {"refit": True}},
            "train.refit: trains on all rows for as long as held-back ones have chosen, and none are held back",
        ),
        ({"train": {"validation": 0.2, "refit": True}}, "train.refit: has nothing to do: every head is solved"),
        (
            {"tune": {"kind": "lora", "per": "domain"}, "train": {"refit": True}},
            "train.refit: has nothing to do: with tune.per: domain no rows are held back",
        ),
        (
            {"tune": {"kind": "contrastive"}, "train": {"refit": True}},
            "train.refit: has nothing to do: with tune.kind contrastive no rows are held back",
        ),
        (
            REFIT | {"evaluate": {"scratch": True}},
            "train.refit: trains ours once more, and evaluate.scratch is trained once, on fewer rows",
        ),
        (REFIT | {"evaluate": {"solo": True}}, "train.refit: trains ours once more, and evaluate.solo"),
    ],
)
def test_a_rule_between_sections(sections: dict[str, Any], expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        recipe(**sections)


@pytest.mark.parametrize(
    "sections",
    [
        {"augment": [{"kind": "eda"}]},
        LORA | {"augment": [{"kind": "eda"}, {"kind": "cutoff"}]},
        MLP | {"augment": [{"kind": "mixup"}]},
        {"heads": {"spam": {"kind": "linear", "calibrate": {}}}, "augment": [{"kind": "eda"}]},
        REFIT,
        REFIT | {"tune": {"kind": "auto"}, "augment": [{"kind": "mixup"}]},
        {"tune": {"kind": "top_layers"}, "train": {"mixout": 0.9, "average": "swa"}},
    ],
)
def test_sound_ones_are_sound(sections: dict[str, Any]) -> None:
    assert recipe(**sections)
