"""What a recipe's pool means to the encoder."""

from typing import get_args

import pytest

from nlptl.heads._reading import CHOICES, parts
from nlptl.recipe import Encoder


@pytest.mark.parametrize(
    ("pool", "wanted"),
    [
        ("last", ("last",)),
        ("cls", ("cls",)),
        ("layers", ("layers",)),
        ("both", ("last", "layers")),
        ("auto", ("last", "layers")),
    ],
)
def test_the_encoder_is_asked_for_each_part_once(pool: str, wanted: tuple[str, ...]) -> None:
    assert parts(CHOICES[pool]) == wanted


def test_every_pool_of_the_recipe_has_its_choices() -> None:
    assert set(CHOICES) == set(get_args(Encoder.model_fields["pool"].annotation))
