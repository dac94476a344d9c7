"""Easy data augmentation: words replaced by synonyms, inserted, swapped, left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.contracts.augment import Views

if TYPE_CHECKING:
    import numpy as np

Operation = Literal["replace", "insert", "swap", "delete"]


class Eda(Views):
    """Easy data augmentation (Wei & Zou 2019, arXiv 1901.11196): views with a few words changed at random.

    Each view is made by one of the operations, drawn at random: ``n = max(1, round(strength · words))`` words are
    replaced by synonyms, or n synonyms of the text's words are inserted anywhere, or n pairs of words are swapped, or
    each word is left out at a chance of ``strength``. Words are what stands between spaces. English, but for other
    ``synonyms``.
    """

    kind: Literal["eda"] = "eda"
    views_a_row: int = Field(4, gt=0, le=64, description="Views of a row that are tried; equal ones count once.")
    strength: float = Field(0.1, gt=0, lt=1, description="Share of the words that an operation changes.")
    operations: tuple[Operation, ...] = Field(
        ("replace", "insert", "swap", "delete"), min_length=1, description="What may be done to make a view."
    )
    synonyms: str | None = Field(
        None, description="A text file, one group of words a line, commas between them; none: a list of common English."
    )

    def views(self, text: str, rng: np.random.Generator) -> list[str]:
        """Other wordings of ``text``.

        Raises:
            DataError: the file of synonyms cannot be read.
        """
        from nlptl.augment._words import changed, read_synonyms

        synonyms = read_synonyms(self.synonyms)
        made: dict[str, None] = {}
        for _ in range(self.views_a_row):
            operation = self.operations[int(rng.integers(len(self.operations)))]
            view = " ".join(changed(operation, text.split(), self.strength, synonyms, rng))
            if view and view != " ".join(text.split()):
                made[view] = None
        return list(made)
