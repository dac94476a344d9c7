"""The documents say what is so: every key that a run leaves, every link, every command and the first lines of code."""

import json
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made_mail import mail

import nlptl
from nlptl import registry
from nlptl.contracts.adapt import Step, View
from nlptl.encoder import backbone, locate

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for part in ("", "docs", "benchmarks", "benchmarks/results") for path in (ROOT / part).glob("*.md"))
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
KEPT = "Only where"
"""How a meaning begins whose key is absent from some runs."""


def documented(heading: str) -> dict[str, str]:
    """By key, its meaning, of the table below ``heading`` in docs/results.md."""
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", page, flags=re.MULTILINE | re.DOTALL)
    assert found, f"docs/results.md has no section {heading!r}"
    rows = [line.strip("| ").split(" | ") for line in found[1].splitlines() if line.startswith("| `")]
    assert rows, f"section {heading!r} of docs/results.md has no table"
    return {key: row[-1] for row in rows for key in re.findall("`([^`]+)`", row[0])}


def apart(heading: str, found: Iterable[str]) -> tuple[list[str], list[str]]:
    """Keys of ``found`` that the section ``heading`` does not name, and keys that it names and ``found`` lacks, but for
    those that some runs have alone; ``<task>`` in a key stands for any name."""
    meanings, found = documented(heading), list(found)
    patterns = {key: re.sub(r"<[a-z]+>", ".+", re.escape(key)) for key in meanings}
    unnamed = [key for key in found if not any(re.fullmatch(pattern, key) for pattern in patterns.values())]
    lacking = [
        key
        for key, pattern in patterns.items()
        if not meanings[key].startswith(KEPT) and not any(re.fullmatch(pattern, each) for each in found)
    ]
    return unnamed, lacking


def made(tiny_encoder: Path, table: pd.DataFrame, folder: Path, **sections: Any) -> Path:
    """The folder of a small run whose target is dee."""
    table.to_json(folder.with_suffix(".jsonl"), orient="records", lines=True)
    with folder.with_suffix(".jsonl").open("a", encoding="utf-8") as rows:
        rows.write("no row\n")
    settings: dict[str, Any] = {
        "data": {"kind": "jsonl", "path": str(folder.with_suffix(".jsonl")), "domain": "user"},
        "transfer": {"target": "dee", "target_labels": 0},
        "encoder": {"model": str(tiny_encoder), "max_length": 24, "lexical": "tfidf"},
        "heads": {"spam": {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}},
        "evaluate": {"bootstrap": 100},
    }
    nlptl.fit(nlptl.Recipe(name="test", **(settings | sections)), out=folder)
    return folder


@pytest.fixture(scope="module")
def scored(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that trains an adapter, with held-back rows, and is scored."""
    train = {"max_steps": 4, "batch_rows": 16, "validation": 0.2}
    folder = tmp_path_factory.mktemp("scored") / "run"
    return made(tiny_encoder, mail(), folder, tune={"kind": "lora", "rank": 2}, train=train)


@pytest.fixture(scope="module")
def unscored(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose target has no label at all."""
    table = mail()
    table.loc[table.user == "dee", "label"] = None
    return made(tiny_encoder, table, tmp_path_factory.mktemp("unscored") / "run", tune={"kind": "frozen"})


@pytest.fixture(scope="module")
def asked(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is asked for all that section ``evaluate`` offers one task, with a calibrated head."""
    head = {"kind": "linear", "column": "label", "labels": ["ham", "spam"], "positive": "spam"}
    return made(
        tiny_encoder, mail(), tmp_path_factory.mktemp("asked") / "run", tune={"kind": "frozen"},
        transfer={"target": "dee", "target_labels": 4, "hold_out": 0.5},
        heads={"spam": head | {"calibrate": {"abstain": 0.6}, "anomaly": {"score": "mahalanobis"}}},
        evaluate={"bootstrap": 100, "matrix": True, "negative_transfer": True,
                  "cold_start": {"shots": [0, 2], "seeds": 2}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def gated(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which each target gets its own rung."""
    transfer = {"target": ["cy", "dee"], "target_labels": 4, "choose": "auto"}
    folder = tmp_path_factory.mktemp("gated") / "run"
    return made(tiny_encoder, mail(), folder, tune={"kind": "frozen"}, transfer=transfer)


def results(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "results.json").read_text(encoding="utf-8")))


def parts(folder: Path) -> dict[str, Mapping[str, Any]]:
    """By section of docs/results.md, the keys that the run in ``folder`` has for it."""
    whole = results(folder)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    task = whole["tasks"]["spam"]
    return {
        "results.json": whole,
        "A task": task,
        "A domain": task["domains"]["dee"],
        "Gains": task["gains"]["domains"]["dee"]["better"],
        "seconds": whole["seconds"],
        "params": whole["params"],
        "leaks": whole["leaks"],
        "encoder": whole["encoder"],
        "chosen": whole["chosen"][0],
        "cost": whole["cost"],
        "lock.json": json.loads((folder / "lock.json").read_text(encoding="utf-8")),
        "metrics.jsonl": {key: value for line in lines for key, value in line.items()},
        "rejected.jsonl": json.loads((folder / "rejected.jsonl").read_text(encoding="utf-8")),
    }


def test_every_key_of_a_run_is_documented_and_every_documented_key_is_there(scored: Path) -> None:
    found = {heading: apart(heading, keys) for heading, keys in parts(scored).items()}
    assert {heading: keys for heading, keys in found.items() if keys != ([], [])} == {}
    assert len(found) == 13


def test_every_key_that_is_there_on_request_is_documented(asked: Path, gated: Path) -> None:
    whole = results(asked)
    found = {
        "A curve": whole["curves"]["spam"]["dee"],
        "chosen": whole["chosen"][0],
        "decisions": whole["decisions"][0],
        "negative_transfer": whole["negative_transfer"][0],
        "strange": whole["strange"][0],
        "gate": results(gated)["gate"][0],
    }
    assert {heading: apart(heading, keys) for heading, keys in found.items()} == dict.fromkeys(found, ([], []))
    assert apart("model", [path.name for path in (asked / "model").iterdir()]) == ([], [])
    inside = {path.name for path in (gated / "model").iterdir()}
    assert inside == {"targets.json", "shared.model", "cy", "dee"}


def test_the_keys_of_a_task_are_those_documented_where_nothing_could_be_scored_too(
    scored: Path, unscored: Path
) -> None:
    keys = {key for folder in (scored, unscored) for key in results(folder)["tasks"]["spam"]}
    assert keys == set(documented("A task"))
    assert set(results(unscored)) == set(documented("results.json"))


def test_the_columns_of_predictions_and_answers_are_those_documented(scored: Path, unscored: Path) -> None:
    schema = pq.read_schema(scored / "predictions.parquet")
    told = [field.name for field in schema if field.type != pa.list_(pa.float64())]
    assert told == list(documented("predictions.parquet"))
    assert {"model", "majority", "tfidf", "probe", "solved"} == set(schema.names) - set(told)
    assert apart("answers.parquet", pq.read_schema(unscored / "answers.parquet").names) == ([], [])


def test_every_file_of_a_run_and_of_its_model_is_documented(scored: Path, unscored: Path) -> None:
    files = {path.name + "/" * path.is_dir() for folder in (scored, unscored) for path in folder.iterdir()}
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert files == set(re.findall(r"^\| `([^`]+)` \|", page[: page.index("## results.json")], flags=re.MULTILINE))
    for folder in (scored, unscored):
        inside = [path.name + "/" * path.is_dir() for path in (folder / "model").iterdir()]
        assert apart("model", inside) == ([], [])


def test_the_guard_sees_a_key_that_is_not_documented_and_one_that_is_not_there() -> None:
    assert apart("params", ["trainable", "frozen"]) == (["frozen"], ["total"])


WORDS = ("rung", "room", "turn", "leak guard", "store", "gate", "kind", "reading", "rehearsal")


@pytest.mark.parametrize("word", WORDS)
def test_words_that_the_documents_use_are_explained(word: str) -> None:
    page = (ROOT / "docs" / "words.md").read_text(encoding="utf-8")
    assert re.search(rf"^- .*\*\*{word}\*\*.*: ", page, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^a-z0-9_ -]", "", line.lower()).replace(" ", "-") for line in re.findall("(?m)^#+ (.+)$", text)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif not target.startswith("http"):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_there_are_pages_and_they_link() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in PAGES}
    assert names >= {"README.md", "CONTRIBUTING.md", "docs/results.md", "docs/words.md", "benchmarks/DATA.md"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"]({name})" in readme for name in ("docs/results.md", "docs/words.md", "benchmarks/DATA.md"))


BARE = re.compile(r"[\w.]+=\[")
"""A list behind a setting without quotes around it, which zsh takes for a pattern of file names."""


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *RECIPES], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_no_command_holds_a_list_that_a_shell_would_take_for_a_pattern(page: Path) -> None:
    text = re.sub(r"```(python|yaml)\n.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    commands = "\n".join(line for line in text.splitlines() if page.suffix == ".md" or line.startswith("#"))
    assert BARE.findall(re.sub(r"\w*\([^)]*\)", "", commands)) == []
    assert BARE.findall("nlptl run x transfer.target=[ann]") == ["transfer.target=["]


def block(page: str, language: str, section: str) -> str:
    """The first block of code in ``language`` below the heading ``section`` of ``page``."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(rf"```{language}\n(.*?)```", text[text.index(section) :], flags=re.DOTALL)
    assert found
    return found[1]


def test_the_notebook_of_the_readme_runs_as_it_stands(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "locate", lambda model, revision: locate.locate(str(tiny_encoder), None))
    monkeypatch.chdir(tmp_path)
    recipe = (ROOT / "recipes" / "quickstart.yaml").read_text(encoding="utf-8")
    assert "encoder: {" in recipe
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "quickstart.yaml").write_text(recipe.replace("encoder: {", "encoder: {max_length: 24, "))
    names: dict[str, Any] = {}
    exec(block("README.md", "python", "## In a notebook"), names)
    assert (tmp_path / "models" / "spam" / "model.json").is_file()
    assert len(names["run"].predict(names["table"].text, domain=names["table"].user)) == 2


def test_the_kind_that_contributing_adds_is_found_and_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "adapt.py").write_text(block("CONTRIBUTING.md", "python", "A kind may also live"))
    monkeypatch.syspath_prepend(tmp_path)
    found = re.search(r'"nlptl\.(\w+)"\]\n(\w+) = "(.+)"', block("CONTRIBUTING.md", "toml", "A kind may also live"))
    assert found
    room, kind, value = found.groups()
    points = {kind: EntryPoint(name=kind, value=value, group=f"nlptl.{room}")}
    monkeypatch.setattr(registry, "_third_party", lambda asked: points if asked == room else {})
    for cached in (registry.kinds, registry.find):
        cached.cache_clear()
    try:
        term = registry.find(room, kind)()
    finally:
        for cached in (registry.kinds, registry.find):
            cached.cache_clear()
    sides = [torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([[0.0, 0.0]])]
    source, target = (View(side, side, side, torch.zeros(len(side))) for side in sides)
    assert term.loss(Step(source, target, 0.5), None) == 2


KINDS = [
    line.strip("| ").split(" | ")
    for line in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]
OF_BALANCER = {"Balancer", "backward", "after_step", "state"}
"""What the object that ``start`` returns has to give."""


@pytest.mark.parametrize(("room", "base", "methods"), KINDS, ids=[" ".join(row[:2]) for row in KINDS])
def test_the_base_classes_of_contributing_have_the_methods_it_names(room: str, base: str, methods: str) -> None:
    module, _, name = f"nlptl.contracts.{base.strip('`')}".rpartition(".")
    offered = getattr(import_module(module), name)
    named = set(re.findall(r"`(\w+)[(`]", methods)) - OF_BALANCER
    assert named and {name for name in named if not hasattr(offered, name)} == set()
