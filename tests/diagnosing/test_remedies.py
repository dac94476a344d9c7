"""What a diagnosis recommends: only what was measured to help, and what the recipe accepts as it is pasted."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlptl import Recipe
from nlptl.diagnosing.remedies import CELLS, CORRECTED, LORA, SMALL_HEAD, Measured, remedies
from nlptl.errors import RecipeError
from nlptl.recipe.yaml import parse
from nlptl.registry import kinds
from nlptl.transfer.plan import Turn

TABLE = Path(__file__).parents[2] / "benchmarks" / "results" / "unsupervised_adaptation.md"
HEADS: dict[str, dict[str, Any]] = {
    "solved": {"kind": "linear"},
    "per domain": {"kind": "linear", "per": "domain"},
    "small": {"kind": "mlp"},
    "neighbours": {"kind": "knn"},
}
TUNES = [{"kind": kind} for kind in kinds("tune")] + [{"kind": "lora", "per": "domain"}]
FOUND = [["covariate"], ["label"], ["concept"], ["covariate", "label", "concept"]]


def recipe(**sections: Any) -> Recipe:
    return Recipe(**{
        "data": {"kind": "csv", "path": "mail.csv", "domain": "user"},
        "transfer": {"source": ["ann", "bob", "dee"], "target": ["cy"], "target_labels": 0, "hold_out": 0.5},
        "heads": {"spam": {"kind": "linear", "column": "label"}}, "train": {"validation": 0.1},
    } | sections)  # fmt: skip


def turn(*targets: str, labels: int = 0) -> Turn:
    none = np.zeros(0, dtype=np.int64)
    return Turn("all", ("ann", "bob", "dee"), targets, none, none, none, none, labels, 0)


def pasted(settings: Recipe, paste: str) -> Recipe:
    """The recipe with the sections of ``paste``, as YAML, in the place of its own."""
    written = parse(paste, "paste.yaml", [])
    return Recipe.model_validate({**dict(settings), **(written.plain() if written else {})})


def test_every_remedy_is_accepted_by_the_recipe_that_it_is_for() -> None:
    tried = offered = 0
    for tune, head, labels, targets in product(TUNES, HEADS.values(), (0, "all"), (["cy"], ["cy", "eve"])):
        transfer = {"source": ["ann", "bob", "dee"], "target": targets, "target_labels": labels, "hold_out": 0.5}
        plain = {"validation": 0.0 if tune["kind"] == "contrastive" or "per" in tune else 0.1}
        try:
            settings = recipe(tune=tune, heads={"spam": {**head, "column": "label"}}, transfer=transfer, train=plain)
        except RecipeError:
            continue  # the recipe itself is refused, such as neighbours over a body that learns
        tried += 1
        for found in FOUND:
            fit = remedies(settings, turn(*targets, labels=0 if labels == 0 else 9), "cy", found, sources=3)
            assert fit, (tune, head, found)
            for remedy in fit:
                pasted(settings, remedy.plain()["paste"])  # raises where it is refused
                offered += bool(remedy.sections)
    assert tried >= 40 and offered >= 100


@pytest.mark.parametrize(
    ("sections", "found", "paste"),
    [
        ({}, "covariate", "tune: {kind: lora}\nadapt: [{kind: mcc}]"),
        ({"tune": {"kind": "lora"}}, "covariate", "adapt: [{kind: mcc}]"),
        ({"heads": {"spam": {"kind": "mlp"}}}, "covariate", "adapt: [{kind: entropy}]"),
        ({"heads": {"spam": {"kind": "linear", "per": "domain"}}}, "covariate", ""),
        ({"tune": {"kind": "lora"}, "adapt": [{"kind": "mcc"}]}, "covariate", ""),
        ({}, "label", "adapt: [{kind: label_shift}]"),
    ],
)
def test_what_was_measured_to_help_comes_first(sections: dict[str, Any], found: str, paste: str) -> None:
    first, *others = remedies(recipe(**sections), turn("cy"), "cy", [found], sources=3)
    assert first.plain()["paste"] == paste
    if paste:
        assert "measured" in first.why and "points" in first.why
    else:
        assert not others and "label some rows of cy" in first.why and "nlptl suggest" in first.why


def test_for_one_of_several_targets_label_shift_asks_for_that_one_alone() -> None:
    settings = recipe(transfer={"source": ["ann", "bob", "dee"], "target": ["cy", "eve"], "target_labels": 0})
    [fit] = remedies(settings, turn("cy", "eve"), "cy", ["label"], sources=3)
    changed = pasted(settings, fit.plain()["paste"])
    assert changed.transfer == settings.transfer.model_copy(update={"target": ("cy",)})


@pytest.mark.parametrize(("labels", "sources"), [(0, 2), (5, 3)])
def test_label_shift_is_not_named_where_it_would_not_move(labels: int, sources: int) -> None:
    [fit] = remedies(recipe(), turn("cy", labels=labels), "cy", ["label"], sources=sources)
    assert not fit.sections


def test_only_labels_mend_concept_shift() -> None:
    first, own = remedies(recipe(), turn("cy", labels=9), "cy", ["concept"], sources=3)
    assert not first.sections and "only labels" in first.why
    assert own.plain()["paste"] == "heads: {spam: {kind: linear, column: label, per: domain}}"
    assert "not measured" in own.why


# --- the figures ------------------------------------------------------------------------------------------------------


def table(heading: str) -> dict[str, list[str]]:
    """By first cell: the cells of the table under ``heading``, which stand below the kinds' names."""
    text = TABLE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows}


def measured(body: str) -> dict[str, Measured]:
    """The figures of every kind that joins the loss, as the benchmark's table has them."""
    real, made = table(f"{body}, real: accuracy"), table(f"{body}, made, with a known shift: accuracy")
    found = {}
    for place, kind in enumerate(real["accuracy"]):
        won, lost = map(int, re.findall(r"\d+", real["cells won / lost"][place]) or (0, 0))
        uneven = [float(made[f"made label shift → {user}"][place].split()[0]) for user in ("dan", "eve")]
        gain = real["mean gain"][place]
        found[kind] = Measured(float(gain or 0), won, lost, min(uneven))
    return found


@pytest.mark.parametrize(("body", "named"), [("lora", LORA), ("frozen", SMALL_HEAD)])
def test_figures_and_choice_are_those_of_the_benchmark(body: str, named: dict[str, Measured]) -> None:
    found = {kind: each for kind, each in measured(body).items() if each.gain >= 0.5 and each.won >= 2 * each.lost}
    assert found == named
    assert list(named) == sorted(named, key=lambda kind: -named[kind].gain)


def test_figures_of_label_shift_are_those_of_the_benchmark() -> None:
    real, made = table("frozen, real: accuracy"), table("frozen, made, with a known shift: accuracy")
    place = real["accuracy"].index("label_shift")
    gains = [made[f"made label shift → {user}"][place] for user in ("dan", "eve")]
    assert f"{gains[0]} and {gains[1]} points" in CORRECTED and f"real cases {real['mean gain'][place]}" in CORRECTED
    wins, losses = re.findall(r"\d+", made["cells won / lost"][place])
    assert f"better in {wins} and worse in {losses}" in CORRECTED
    assert 3 * sum("→" in row for row in real) == CELLS
