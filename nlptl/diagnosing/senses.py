"""Words that mean something else to a target than to its sources, each with its evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints
from nlptl.contracts.diagnose import View
from nlptl.diagnose.senses import Senses
from nlptl.diagnosing.found import Found
from nlptl.diagnosing.look import Look, one_of_each
from nlptl.encoder.spans import words_of
from nlptl.progress import bar
from nlptl.recipe import Recipe

ROWS = 2000
"""Texts a side, at most."""
WORDS = 400
"""Words whose vectors are looked at: those that are in most texts of the side where they are rarer."""
TEXTS = 100
"""Texts a side in which one word's vectors are taken."""
SHOWN = 15
"""Words of each kind in a printed table; all are in the mapping."""


class SenseFindings(Found):
    """By target: what kind ``senses`` found. Prints as a table; plain values, ready for JSON."""

    columns = ("target", "word", "found", "p", "in the sources", "in the target")

    def __repr__(self) -> str:
        return f"SenseFindings({'; '.join(f'{t}: {_listed(f)}' for t, f in self.items())})"

    def cells(self) -> Iterator[tuple[str, ...]]:
        """At most ``SHOWN`` words of each kind and target, with ``columns``."""
        for target, found in self._found.items():
            if isinstance(found["flipped"], dict):
                yield target, "", "flipped: " + found["flipped"]["unknown"], "", "", ""
            else:
                for row in found["flipped"][:SHOWN]:
                    said = f"pull on {row['label']}: {row['pull_sources']:+.1f} → {row['pull_target']:+.1f}"
                    yield target, row["word"], said, f"{row['p']:.1e}", *_first(row)
            for row in found["moved"][:SHOWN]:
                yield target, row["word"], f"moved by {row['effect']:.2f}", f"{row['p']:.1e}", *_first(row)


def _first(row: Mapping[str, Any]) -> tuple[str, str]:
    sources, target = (row[side][0] if row[side] else "" for side in ("sources", "target"))
    return sources, target


def _listed(found: Mapping[str, Any]) -> str:
    flipped = found["flipped"] if isinstance(found["flipped"], list) else []
    return f"{len(flipped)} words flipped, {len(found['moved'])} moved"


def diagnose_senses(recipe: Recipe) -> SenseFindings:
    """Look for such words between the sources and each target; labels of a target are read only where they teach.

    Raises:
        RecipeError, DataError, ModelError: the recipe, its data or its encoder cannot be used.
    """
    look = Look.at(recipe)
    kind = Senses(seed=recipe.seed)
    return SenseFindings({target: kind.measure(_view(look, turn, target, kind)) for turn, target in look.targets()})


def _view(look: Look, turn: Any, target: str, kind: Senses) -> View:
    """The rows of both sides, one of each group of near copies, with the vectors of the words that are looked at."""
    from nlptl.encoder.word_vectors import word_vectors

    single = one_of_each(look.rows(turn, target, most=ROWS))
    [domain, texts] = single.need("domain", "texts")
    rows = _rows_by_word(texts, np.asarray(domain == target), kind.least)
    reading: Literal["last", "layers"] = "last" if look.recipe.encoder.pool in ("last", "cls") else "layers"
    with bar("encode words") as progress:
        words = word_vectors(look.backbone, [str(t) for t in texts], rows, reading=reading, progress=progress)
    return replace(single, words=words)


def _rows_by_word(texts: npt.NDArray[Any], here: npt.NDArray[np.bool_], least: int) -> dict[str, Ints]:
    """By word: at most ``TEXTS`` rows of each side, of the ``WORDS`` words that are commonest on both."""
    rows: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for row, text in enumerate(texts):
        for word in {word for word, _, _ in words_of(str(text))}:
            rows[word][int(here[row])].append(row)
    common = {word: min(map(len, sides)) for word, sides in rows.items()}
    chosen = sorted((word for word, count in common.items() if count >= least), key=lambda w: (-common[w], w))[:WORDS]
    return {word: np.array([row for side in rows[word] for row in side[:TEXTS]], np.int64) for word in chosen}
