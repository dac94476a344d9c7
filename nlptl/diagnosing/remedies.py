"""What to try against a shift that was found: what benchmarks measured to help, in sections that the recipe accepts.

Figures are of ``benchmarks/results/unsupervised_adaptation.md``: ten real cases of three seeds, no label of the target.
A kind is named where it gained half a point or more on average and won twice as many of the thirty cells as it lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlptl.errors import RecipeError
from nlptl.recipe import Recipe
from nlptl.recipe.yaml import inline
from nlptl.transfer.plan import Turn

CELLS = 30
MOST = 2
"""Kinds that are named against one shift."""
SOURCES = 3
"""Domains from which on ``label_shift`` knows how far its estimates err, and may move."""
LABEL_SOME = "label some rows of {target}: nlptl suggest RECIPE -n 50 says which teach most"


@dataclass(frozen=True)
class Measured:
    """Mean gain in points of accuracy over the same training without it, cells of ``CELLS`` won and lost, and the gain
    on the worse of two targets with made label shift."""

    gain: float
    won: int
    lost: int
    uneven: float

    def __str__(self) -> str:
        return (
            f"{self.gain:+.1f} points on average, better in {self.won} and worse in {self.lost} of {CELLS} runs on ten "
            "cases without labels of the target"
        )


LORA: Mapping[str, Measured] = {
    "mcc": Measured(2.0, 22, 6, -0.5), "self_training": Measured(1.5, 19, 4, -0.5),
    "entropy": Measured(1.4, 21, 5, -0.9), "mmd": Measured(0.6, 11, 2, -0.2),
}  # fmt: skip
"""Terms of the loss while LoRA learns from a solved head, the most gainful first."""
SMALL_HEAD: Mapping[str, Measured] = {"entropy": Measured(1.2, 18, 6, -3.8), "mcc": Measured(0.7, 16, 7, -2.4)}
"""The same over a small head trained on frozen vectors, where ``self_training`` loses 4.4 points."""
CORRECTED = (
    "measured on solved heads: made label shift +1.4 and +6.1 points, better in 5 and worse in 0 of 6 runs; real cases "
    "-0.1. It moves answers only where the other shares are sure"
)
OWN_HEAD = "lets its labels move a head of its own alone; not measured against concept shift"


@dataclass(frozen=True)
class Remedy:
    """Whole sections to be put in the place of the recipe's (none: there is nothing to set), against what, and why."""

    against: str
    sections: Mapping[str, Any]
    why: str

    def plain(self) -> dict[str, str]:
        """``against``: the shift; ``paste``: YAML lines that the recipe accepts in the place of its own; ``why``: in
        words, with figures."""
        return {
            "against": self.against,
            "paste": "\n".join(f"{name}: {inline(section)}" for name, section in self.sections.items()),
            "why": self.why,
        }


def remedies(recipe: Recipe, turn: Turn, target: str, found: Sequence[str], *, sources: int) -> list[Remedy]:
    """What fits against the shifts ``found`` for ``target``, by shift; rows to label where nothing else does.

    Args:
        turn: the one that serves ``target``.
        found: names of ``nlptl.diagnose.shift.MEANS``.
        sources: how many other domains teach.
    """
    fit: list[Remedy] = []
    if "label" in found:
        fit += _first(recipe, _corrected(recipe, turn, target, sources), 1)
    if "covariate" in found:
        fit += _first(recipe, _terms(recipe, uneven="label" in found), MOST)
    if "concept" in found:
        fit.append(Remedy("concept", {}, f"only labels of its own mend it; {LABEL_SOME.format(target=target)}"))
        fit += _first(recipe, _own_heads(recipe), 1)
    if found and not fit:
        fit.append(Remedy(" and ".join(found), {}, f"nothing more that this recipe accepts was measured to help; "
                              f"{LABEL_SOME.format(target=target)}"))  # fmt: skip
    return fit


def _first(recipe: Recipe, offered: Iterator[Remedy], most: int) -> list[Remedy]:
    """The first ``most`` that the recipe's own validation accepts."""
    accepted = (remedy for remedy in offered if _accepts(recipe, remedy.sections))
    return [remedy for remedy, _ in zip(accepted, range(most), strict=False)]


def _accepts(recipe: Recipe, sections: Mapping[str, Any]) -> bool:
    try:
        Recipe.model_validate({**dict(recipe), **sections})
    except RecipeError:
        return False
    return True


def _terms(recipe: Recipe, *, uneven: bool) -> Iterator[Remedy]:
    """Terms of the loss, where the recipe has none of them; over heads that are solved, LoRA comes with them."""
    trained = any(not head.closed_form for head in recipe.heads.values())
    measured = SMALL_HEAD if trained and not recipe.tune.learns else LORA
    if any(way.kind in measured for way in recipe.adapt):
        return
    first = {} if trained or recipe.tune.learns else {"tune": {"kind": "lora"}}
    elsewhere = recipe.tune.kind if recipe.tune.learns and recipe.tune.kind != "lora" else ""
    for kind, figures in measured.items():
        said = [f"measured {figures}"]
        said += [f"measured with tune.kind: lora, not with {elsewhere}"] if elsewhere else []
        said += [f"with made label shift, which is found here too, {figures.uneven:+.1f}"] if uneven else []
        yield Remedy("covariate", {**first, "adapt": [{"kind": kind}]}, "; ".join(said))


def _corrected(recipe: Recipe, turn: Turn, target: str, sources: int) -> Iterator[Remedy]:
    """The correction of label shares, where it may move: for one target that shows no label, of several sources."""
    if turn.labels_of_target or sources < SOURCES or any(way.kind == "label_shift" for way in recipe.adapt):
        return
    alone = recipe.transfer.model_copy(update={"target": (target,)})
    first = {} if len(turn.targets) == 1 else {"transfer": _written(alone)}
    yield Remedy("label", {**first, "adapt": [{"kind": "label_shift"}]}, CORRECTED)


def _own_heads(recipe: Recipe) -> Iterator[Remedy]:
    """A head of each domain's own, which its labels pull away from the shared one."""
    task, head = next(iter(recipe.heads.items()))
    if head.kind == "linear" and getattr(head, "per", None) is None:
        heads = {name: _written(each) for name, each in recipe.heads.items()}
        yield Remedy("concept", {"heads": heads | {task: heads[task] | {"per": "domain"}}}, OWN_HEAD)


def _written(section: Any) -> dict[str, Any]:
    """What a recipe's file says of a section: what differs from the defaults, and the kind."""
    kind = {"kind": section.kind} if hasattr(section, "kind") else {}
    written: dict[str, Any] = section.model_dump(mode="json", exclude_defaults=True)
    return kind | written
