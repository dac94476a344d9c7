"""More views of the rows that teach, and whether they are kept.

Texts made from a row are rows of the corpus beyond those that were read: each has its row's labels and domain, teaches
where its row teaches, stands in its fold, and is never scored and never chooses. A turn is learned without and with all
that ``augment`` names; what it made is kept where it lowers the loss of the rows that choose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints
from nlptl.contracts.augment import Views
from nlptl.errors import RecipeError
from nlptl.fitting.climb import losses_of_rows, once_a_text, texts_judged, validation_losses, wins
from nlptl.fitting.corpus import Corpus
from nlptl.fitting.setting import Setting, SolvedTurn, teaching
from nlptl.recipe import Recipe
from nlptl.saved import Model
from nlptl.train.gather import of_first
from nlptl.train.state import Length
from nlptl.transfer.plan import Turn


@dataclass(frozen=True)
class Learned:
    """What a turn came to: its rows with their near-duplicate groups, the heads below, the model, and how.

    Attributes:
        judged: the model that the rows held back did not teach; another than ``model`` once that was trained on all.
        length: how long the model learned, where the loop says so.
    """

    setting: Setting
    turn: Turn
    groups: Ints
    solved: SolvedTurn
    model: Model
    by_layer: tuple[float, ...]
    climbed: list[dict[str, Any]]
    history: list[dict[str, Any]]
    judged: Model
    length: Length | None


Learn: TypeAlias = Callable[[Setting, Turn, Ints], Learned]


def with_views(recipe: Recipe, corpus: Corpus, turns: Iterable[Turn]) -> Corpus:
    """``corpus`` and, after its rows, the texts that ``augment`` makes of those that teach in any of ``turns``."""
    ways = [way for way in recipe.augment if isinstance(way, Views)]
    if not ways:
        return corpus
    teach = np.unique(np.concatenate([turn.teach for turn in turns]))
    made = [
        (row, f"{corpus.ids[row]}#{way.kind}{number}", text, pair)
        for row in teach
        for place, way in enumerate(ways)
        for number, (text, pair) in enumerate(_views(way, corpus, row, (recipe.seed, place)))
    ]
    origins = np.array([row for row, *_ in made], dtype=np.int64)

    def column(place: int) -> npt.NDArray[np.object_]:
        return np.array([each[place] for each in made], dtype=object)

    return replace(
        corpus,
        ids=np.concatenate([corpus.ids, column(1)]),
        texts=np.concatenate([corpus.texts, column(2)]),
        pairs=None if corpus.pairs is None else np.concatenate([corpus.pairs, column(3)]),
        domains=np.concatenate([corpus.domains, corpus.domains[origins]]),
        encoded={name: np.concatenate([found, found[origins]]) for name, found in corpus.encoded.items()},
        origins=origins,
    )


def _views(way: Views, corpus: Corpus, row: int, seed: tuple[int, ...]) -> list[tuple[str, str | None]]:
    """The views of a row, drawn from its id; of a pair, each view of the first text with one of the second."""
    digest = hashlib.blake2b(str(corpus.ids[row]).encode(), digest_size=8).digest()
    rng = np.random.default_rng((*seed, int.from_bytes(digest, "big")))
    texts = way.views(corpus.texts[row], rng)
    if corpus.pairs is None:
        return [(text, None) for text in texts]
    return list(zip(texts, way.views(corpus.pairs[row], rng), strict=False))


def augmented(learn: Learn, setting: Setting, turn: Turn, groups: Ints, held_back: Ints) -> tuple[Learned, list[Any]]:
    """What ``learn`` makes of the turn, without or with ``augment``, and a row that says which was kept; none where
    the recipe names nothing.

    The rows that choose are those held back; where nothing is trained, the turn's rows, each answered out of fold.

    Raises:
        RecipeError: there is no row to choose by.
    """
    ways = setting.recipe.augment
    bare = replace(setting, recipe=setting.recipe.model_copy(update={"augment": ()}))
    plain = learn(bare, turn, groups)
    if not ways:
        return plain, []
    wide, of_wide = widened(setting, turn, groups)
    with_all = learn(setting, replace(wide, name=f"{turn.name} augmented"), of_wide)
    (without, texts), (with_, _) = (_losses(setting, each, turn, held_back) for each in (plain, with_all))
    kept = of_first(wins(once_a_text(with_, texts), once_a_text(without, texts)))
    told = {
        "augment": "+".join(way.kind for way in ways), "rows added": len(wide.teach) - len(turn.teach),
        "rows that chose": len(without),
        "loss without": float(without.mean()), "loss with": float(with_.mean()), "kept": kept,
    }  # fmt: skip
    return (with_all if kept else plain), [told]


def widened(setting: Setting, turn: Turn, groups: Ints) -> tuple[Turn, Ints]:
    """``turn`` taught by the views of its rows too, and the groups of all: a view is in that of its row."""
    views = setting.corpus.views_of(turn.teach)
    origins = np.searchsorted(turn.teach, setting.corpus.origins[views - len(setting.corpus.dataset)])
    return replace(turn, teach=np.concatenate([turn.teach, views])), np.concatenate([groups, groups[origins]])


def _losses(setting: Setting, learned: Learned, turn: Turn, held_back: Ints) -> tuple[npt.NDArray[np.float64], Ints]:
    """The loss of each row that chooses, in nats, one task after another, and the number of its text."""
    if len(held_back):
        return validation_losses(setting, held_back, learned.model), texts_judged(setting.corpus, held_back)
    if learned.model is not learned.solved.model:
        raise RecipeError(
            f"turn {turn.name!r} has no validation row to choose augmentation by; set train.validation, such as 0.1."
        )
    corpus, found, judged = setting.corpus, [], []
    taught = teaching(corpus, turn)
    for name, solved in learned.solved.heads.items():
        held = np.unique(np.concatenate([held for _, held in learned.solved.folds[name]]))
        held = held[held < len(taught[name])]  # views stand after the rows that they are of
        held = held[corpus.fresh(taught[name][held])]
        rows, answers = taught[name][held], corpus.tasks[name].probabilities(solved.out_of_fold[held])
        found.append(losses_of_rows(corpus.tasks[name], answers, corpus.encoded[name][rows]))
        judged.append(corpus.texts_among(rows))
    return np.concatenate(found), np.concatenate(judged)
