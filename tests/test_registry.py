"""A name is a file: how kinds are found, told apart and hinted at."""

from importlib.metadata import EntryPoint

import pytest
from pydantic import ValidationError

from nlptl import heads, registry, tune
from nlptl.errors import RecipeError
from nlptl.registry import Settings


@pytest.mark.parametrize(("kind", "name"), [("lora", "Lora"), ("self_training", "SelfTraining"), ("mlp", "Mlp")])
def test_the_class_is_named_as_the_file(kind: str, name: str) -> None:
    assert registry.class_name(kind) == name


def test_kinds_are_the_files_that_do_not_start_with_an_underscore() -> None:
    assert {"frozen", "lora"} <= set(registry.kinds("tune"))
    assert not [kind for room in registry.ROOMS for kind in registry.kinds(room) if kind.startswith("_")]


def test_a_kind_is_found_by_name() -> None:
    assert registry.find("heads", "linear") is heads.Linear


def test_an_unknown_kind_gets_the_nearest_and_the_choices() -> None:
    with pytest.raises(RecipeError, match=r"no tune kind 'lroa'; did you mean 'lora'\? Choices: auto, .*lora"):
        registry.find("tune", "lroa")


def test_an_unknown_kind_like_no_other_gets_the_choices() -> None:
    with pytest.raises(RecipeError, match=r"no tune kind 'xyz'\. Choices: "):
        registry.find("tune", "xyz")


def test_an_unknown_room_gets_the_rooms() -> None:
    with pytest.raises(RecipeError, match=r"'head' holds kinds; did you mean 'heads'\? Choices: data, heads, tune"):
        registry.kinds("head")


def test_a_room_offers_its_classes_and_no_others() -> None:
    assert tune.__all__ == [registry.class_name(kind) for kind in registry.kinds("tune")]
    with pytest.raises(AttributeError, match="Nothing"):
        tune.Nothing  # noqa: B018


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that adds tune kinds: ``ours``, and ``broken``, which cannot be imported."""
    points = {
        name: EntryPoint(name=name, value=value, group="nlptl.tune")
        for name, value in {"ours": "nlptl.tune.frozen:Frozen", "broken": "not_installed_at_all:Thing"}.items()
    }
    monkeypatch.setattr(registry, "_third_party", lambda room: points if room == "tune" else {})
    registry.kinds.cache_clear()
    registry.find.cache_clear()
    yield
    registry.kinds.cache_clear()
    registry.find.cache_clear()


@pytest.mark.usefixtures("installed")
def test_an_installed_package_adds_kinds() -> None:
    assert "ours" in registry.kinds("tune")
    assert registry.find("tune", "ours") is tune.Frozen


@pytest.mark.usefixtures("installed")
def test_an_installed_kind_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(RecipeError, match="'broken' of installed package 'not_installed_at_all' cannot be loaded"):
        registry.find("tune", "broken")


class Example(Settings):
    """Settings of this test."""

    names: tuple[str, ...] = ()
    nested: dict[str, tuple[int, ...]] = {}  # noqa: RUF012
    share: float = 0.5


def test_lists_become_tuples_at_any_depth() -> None:
    assert Example(names=["a", "b"], nested={"x": [1, 2]}) == Example(names=("a", "b"), nested={"x": (1, 2)})


@pytest.mark.parametrize("wrong", [{"nmaes": ()}, {"share": "0.5"}, {"share": float("nan")}, {"names": "a"}])
def test_settings_are_strict(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Example(**wrong)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Example().share = 0.1  # type: ignore[misc]
