"""Tiny random bodies of the families, width 32, two layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FAMILIES = (
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "deberta-v2", "mpnet", "distilbert", "albert", "modernbert",
)  # fmt: skip


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Each family in turn."""
    return str(request.param)
