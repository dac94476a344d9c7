"""Loading, extending, overriding, saving: what a recipe file means."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlptl import data, heads, tune
from nlptl.errors import RecipeError
from nlptl.recipe import Recipe, Train, Transfer

BASE = """
data: {kind: csv, path: mail.csv, domain: user}
heads: {spam: {kind: linear, column: label, labels: [ham, spam], positive: spam}}
"""


def write(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_file_equals_the_one_built_in_a_notebook(tmp_path: Path) -> None:
    text = BASE + "transfer: {target: [kitchen-l], target_labels: 0}\ntune: {kind: lora, rank: 4}\ntrain: {lr: 2e-4}\n"
    built = Recipe(
        data=data.Csv(path="mail.csv", domain="user"),
        heads={"spam": heads.Linear(column="label", labels=["ham", "spam"], positive="spam")},
        transfer=Transfer(target=["kitchen-l"], target_labels=0),
        tune=tune.Lora(rank=4),
        train=Train(lr=2e-4),
    )
    assert Recipe.load(write(tmp_path, text)) == built


def test_mappings_do_in_a_notebook_too(tmp_path: Path) -> None:
    built = Recipe(
        data={"kind": "csv", "path": "mail.csv", "domain": "user"},
        heads={"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}},
    )
    assert Recipe.load(write(tmp_path, BASE)) == built


def test_the_body_is_frozen_unless_told(tmp_path: Path) -> None:
    assert Recipe.load(write(tmp_path, BASE)).tune == tune.Frozen()


@pytest.mark.parametrize(
    "extra", ["", "tune: {kind: lora, rank: 2}\n", "transfer: {source: [a, 'b*'], hold_out: 0.5}\n"]
)
def test_load_after_save_is_the_same(tmp_path: Path, extra: str) -> None:
    recipe = Recipe.load(write(tmp_path, BASE + extra))
    recipe.save(tmp_path / "saved.yaml")
    assert Recipe.load(tmp_path / "saved.yaml") == recipe


def test_named_sources_survive_saving(tmp_path: Path) -> None:
    text = "data: {mail: {kind: csv, path: a.csv}, 'my notes': {kind: jsonl, path: b.jsonl}}\nheads: {x: {kind: mlp}}\n"
    recipe = Recipe.load(write(tmp_path, text))
    recipe.save(tmp_path / "saved.yaml")
    assert isinstance(recipe.data, dict) and set(recipe.data) == {"mail", "my notes"}
    assert Recipe.load(tmp_path / "saved.yaml") == recipe


@settings(derandomize=True, max_examples=80, deadline=None)
@given(
    labels=st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=4, unique=True),
    lr=st.floats(min_value=1e-12, max_value=1e6),
)
def test_any_text_and_number_survives_saving(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str], lr: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    recipe = Recipe(data=data.Csv(path="x.csv"), heads={"x": heads.Linear(labels=labels)}, train=Train(lr=lr))
    recipe.save(path)
    assert Recipe.load(path) == recipe


@pytest.mark.parametrize(
    "label", ["no", "on", "1e3", "2e-4", "null", "~", "", " ", "a: b", "# x", "12:30", "007", "=", "<<"]
)
def test_text_that_looks_like_something_else_survives_saving(tmp_path: Path, label: str) -> None:
    recipe = Recipe(data=data.Csv(path="x.csv"), heads={"x": heads.Linear(labels=[label, "other"])})
    recipe.save(tmp_path / "saved.yaml")
    assert Recipe.load(tmp_path / "saved.yaml") == recipe


def test_a_table_of_a_notebook_cannot_be_saved(tmp_path: Path) -> None:
    import pandas as pd

    recipe = Recipe(data=data.Frame(table=pd.DataFrame({"text": ["a"]})), heads={"x": heads.Linear()})
    with pytest.raises(RecipeError, match="frame"):
        recipe.save(tmp_path / "saved.yaml")
    assert not (tmp_path / "saved.yaml").exists()


@pytest.mark.parametrize(
    ("written", "number"), [("2e-4", 2e-4), ("1e3", 1000), ("1E+2", 100), (".5", 0.5), ("1_000", 1000), ("3", 3)]
)
def test_numbers_are_read_as_people_write_them(tmp_path: Path, written: str, number: float) -> None:
    assert Recipe.load(write(tmp_path, BASE), f"train.lr={written}").train.lr == number


def test_a_count_may_be_written_as_1e3(tmp_path: Path) -> None:
    assert Recipe.load(write(tmp_path, BASE), "evaluate.bootstrap=1e3").evaluate.bootstrap == 1000


@pytest.mark.parametrize("text", ["2020-01-01", "007", "12:30", "1.2.3", "=", "<<"])
def test_dates_and_codes_stay_text(tmp_path: Path, text: str) -> None:
    head = Recipe.load(write(tmp_path, BASE), f"heads.spam.labels=[{text}, spam]").heads["spam"]
    assert head.labels == (text, "spam")


# --- extends ----------------------------------------------------------------------------------------------------------


def test_extends_merges_sections_key_by_key(tmp_path: Path) -> None:
    write(tmp_path, BASE + "train: {lr: 1e-4, epochs: 3}\n", "team/base.yaml")
    recipe = Recipe.load(write(tmp_path, "extends: team/base.yaml\ntrain: {epochs: 1}\nseed: 7\n"))
    assert (recipe.train.lr, recipe.train.epochs, recipe.seed) == (1e-4, 1, 7)


def test_extends_is_relative_to_its_own_file_and_chains(tmp_path: Path) -> None:
    write(tmp_path, BASE + "name: lowest\nseed: 1\n", "team/lowest.yaml")
    write(tmp_path, "extends: lowest.yaml\nname: middle\n", "team/middle.yaml")
    recipe = Recipe.load(write(tmp_path, "extends: team/middle.yaml\n"))
    assert (recipe.name, recipe.seed) == ("middle", 1)


def test_a_section_of_another_kind_replaces_the_one_below(tmp_path: Path) -> None:
    write(tmp_path, BASE + "tune: {kind: lora, rank: 4}\n", "base.yaml")
    child = "extends: base.yaml\ntune: {kind: frozen}\nheads: {spam: {kind: mlp}}\n"
    recipe = Recipe.load(write(tmp_path, child))
    assert recipe.tune == tune.Frozen()
    assert recipe.heads["spam"] == heads.Mlp()


def test_a_section_of_the_same_kind_merges(tmp_path: Path) -> None:
    write(tmp_path, BASE + "tune: {kind: lora, rank: 4}\n", "base.yaml")
    recipe = Recipe.load(write(tmp_path, "extends: base.yaml\ntune: {kind: lora, dropout: 0.5}\n"))
    assert recipe.tune == tune.Lora(rank=4, dropout=0.5)


def test_named_sources_replace_one_source(tmp_path: Path) -> None:
    write(tmp_path, BASE, "base.yaml")
    child = "extends: base.yaml\ndata: {a: {kind: csv, path: a.csv}}\n"
    assert Recipe.load(write(tmp_path, child)).data == {"a": data.Csv(path="a.csv")}


def test_a_circle_is_named(tmp_path: Path) -> None:
    write(tmp_path, "extends: b.yaml\n", "a.yaml")
    write(tmp_path, "extends: a.yaml\n", "b.yaml")
    with pytest.raises(RecipeError, match=r"b\.yaml:1: extends: .*a\.yaml → b\.yaml → a\.yaml"):
        Recipe.load(tmp_path / "a.yaml")


def test_an_absent_base_is_named_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml:2: extends: there is no recipe .*nowhere\.yaml"):
        Recipe.load(write(tmp_path, "\nextends: nowhere.yaml\n"))


# --- overrides --------------------------------------------------------------------------------------------------------


def test_overrides_read_the_same_yaml(tmp_path: Path) -> None:
    recipe = Recipe.load(
        write(tmp_path, BASE + "encoder: {lexical: tfidf}\n"),
        "train.lr=1e-4",
        "transfer.target=[kitchen-l, 'b*']",
        "data.path=other=x.csv",
        "encoder.lexical=null",
        "encoder.prompt=",
        "heads.spam.labels.0=legit",
    )
    assert recipe.train.lr == 1e-4
    assert recipe.transfer.target == ("kitchen-l", "b*")
    assert isinstance(recipe.data, data.Csv) and recipe.data.path == "other=x.csv"
    assert recipe.encoder.lexical is None and recipe.encoder.prompt is None
    assert recipe.heads["spam"].labels == ("legit", "spam")


def test_an_override_reaches_a_named_source(tmp_path: Path) -> None:
    text = "data: {a: {kind: csv, path: a.csv}, b: {kind: csv, path: b.csv}}\nheads: {x: {kind: mlp}}\n"
    assert Recipe.load(write(tmp_path, text), "data.b.path=c.csv").data["b"].path == "c.csv"  # type: ignore[index, union-attr]


def test_the_later_override_wins(tmp_path: Path) -> None:
    assert Recipe.load(write(tmp_path, BASE), "seed=1", "seed=2").seed == 2


@pytest.mark.parametrize("overrides", [("tune.kind=lora", "tune.rank=3"), ("tune.rank=3", "tune.kind=lora")])
def test_a_kind_is_chosen_before_its_settings(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    assert Recipe.load(write(tmp_path, BASE + "tune: {kind: frozen}\n"), *overrides).tune == tune.Lora(rank=3)


def test_another_kind_keeps_the_settings_that_it_has_too(tmp_path: Path) -> None:
    recipe = Recipe.load(
        write(tmp_path, BASE + "tune: {kind: lora, rank: 4}\n"), "heads.spam.kind=mlp", "tune.kind=frozen"
    )
    assert recipe.heads["spam"] == heads.Mlp(column="label", labels=["ham", "spam"], positive="spam")
    assert recipe.tune == tune.Frozen()


# --- what is printed --------------------------------------------------------------------------------------------------


def test_the_resolved_recipe_holds_every_default_and_what_it_means(tmp_path: Path) -> None:
    text = Recipe.load(write(tmp_path, BASE)).to_yaml()
    for section in Recipe.model_fields:
        assert f"\n{section}:" in f"\n{text}"
    for field in Train.model_fields:
        assert f"  {field}: " in text
    assert "# Largest gradient norm." in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_schema_knows_every_kind_and_lets_a_child_leave_out_what_its_base_has() -> None:
    from nlptl.registry import ROOMS, class_name, kinds

    schema = Recipe.json_schema()
    for room in set(ROOMS) - {"diagnose", "export"}:  # which recipes do not name
        for kind in kinds(room):
            definition = schema["$defs"][class_name(kind)]
            assert definition["properties"]["kind"]["const"] == kind and "kind" in definition["required"]
    assert schema["anyOf"] == [{"required": ["extends"]}, {"required": ["data", "heads"]}]
    assert "extends" in schema["properties"]
