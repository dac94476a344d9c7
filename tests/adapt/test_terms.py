"""What every term keeps to: it is refused where it can do nothing, schedules follow progress alone."""

import math

import pytest
import torch
from turned_features import rotated, step_of

import nlptl
from nlptl.contracts.adapt import Term, ramp
from nlptl.registry import find, kinds

TERMS = [kind for kind in kinds("adapt") if issubclass(find("adapt", kind), Term)]
BASE = {"data": {"kind": "csv", "path": "x.csv"}, "transfer": {"target": "a", "target_labels": 0},
        "tune": {"kind": "lora"}, "heads": {"spam": {"kind": "linear"}}}  # fmt: skip


def recipe(**sections):  # type: ignore[no-untyped-def]
    return nlptl.Recipe(**{**BASE, **sections})


def test_there_are_terms() -> None:
    assert {"coral", "mmd", "dann", "cdan", "mcc", "entropy", "self_training"} <= set(TERMS)


def test_the_ramp_is_the_papers() -> None:
    assert ramp(0) == 0
    assert ramp(0.1) == pytest.approx((1 - math.exp(-1)) / (1 + math.exp(-1)))
    assert 0.999 < ramp(1) < 1


@pytest.mark.parametrize("kind", TERMS)
def test_a_term_is_a_finite_scalar_that_depends_on_its_step_alone(kind: str) -> None:
    """No hidden counter: asked twice, it answers the same."""
    term = find("adapt", kind)()
    assert isinstance(term, Term)
    torch.manual_seed(0)
    layers, step = term.layers(2, 2), step_of(rotated())
    once, twice = term.loss(step, layers), term.loss(step, layers)
    assert once.shape == () and torch.isfinite(once) and torch.equal(once, twice)


@pytest.mark.parametrize("kind", TERMS)
def test_a_recipe_names_it_with_its_defaults(kind: str) -> None:
    made = recipe(adapt=[{"kind": kind}])
    assert made.adapt == (find("adapt", kind)(),)
    assert recipe(adapt=made.model_dump()["adapt"]) == made


@pytest.mark.parametrize("kind", [kind for kind in TERMS if find("adapt", kind).moves == "features"])
def test_features_that_cannot_move_are_refused(kind: str) -> None:
    with pytest.raises(nlptl.RecipeError, match=rf"{kind} moves the vectors that heads.spam reads, and nothing"):
        recipe(adapt=[{"kind": kind}], tune={"kind": "frozen"})
    recipe(adapt=[{"kind": kind}], tune={"kind": "frozen"}, heads={"spam": {"kind": "mlp"}})


def test_mistakes_are_named_with_their_place() -> None:
    with pytest.raises(nlptl.RecipeError, match=r"adapt.*'corel'.*did you mean 'coral'"):
        recipe(adapt=[{"kind": "corel"}])
    with pytest.raises(nlptl.RecipeError, match=r"adapt\.1: coral is there twice"):
        recipe(adapt=[{"kind": "coral"}, {"kind": "coral", "weight": 2.0}])
    everything_scored = {**BASE["transfer"], "hold_out": 1}
    with pytest.raises(nlptl.RecipeError, match=r"transfer\.hold_out: 1 scores every row of the target, and mmd reads"):
        recipe(adapt=[{"kind": "mmd"}], transfer=everything_scored)
    recipe(adapt=[{"kind": "mmd"}], transfer={**everything_scored, "transductive": True})
