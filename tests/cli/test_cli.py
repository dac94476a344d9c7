"""The command line: what it prints, what it calls, and the status it leaves."""

import json
import os
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from command import status

from nlptl import __version__
from nlptl.cli import main
from nlptl.errors import DataError, RunError
from nlptl.recipe import Recipe

RECIPE = """
data: {kind: csv, path: mail.csv, domain: user}
heads: {spam: {kind: linear, column: label, labels: [ham, spam]}}
"""
MAIL = "text,label,user\n" + "".join(
    f"{'win cash now' if n % 3 == 0 else 'the gas report'} number {n},{'spam' if n % 3 == 0 else 'ham'},{'ab'[n % 2]}\n"
    for n in range(30)
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a recipe and its data."""
    (tmp_path / "spam.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "mail.csv").write_text(MAIL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    return tmp_path


Replace = Callable[..., None]


@pytest.fixture
def replace(monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Put functions in the place of a module that is slow to import."""

    def put(name: str, **functions: Any) -> None:
        spec = find_spec(name)
        module = ModuleType(name)
        module.__path__ = spec.submodule_search_locations or [] if spec else []  # modules within stay as they are
        vars(module).update(functions)
        monkeypatch.setitem(sys.modules, name, module)

    return put


def fails_with(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


# --- status and errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "absent.yaml"),
        ("check", "spam.yaml", "train.lr=fast"),
        ("check", "spam.yaml", "data.path=absent.csv"),
        ("list", "nothing"),
        ("show",),
        ("fly",),
        ("run",),
        ("run", "spam.yaml", "--nothing"),
        ("init", "absent.csv"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_2_without_a_traceback(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert status(*arguments) == 2
    said = capsys.readouterr()
    assert said.err and "Traceback" not in said.err and not said.out


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RunError("the loss is NaN"), 1),
        (DataError("no rows"), 2),
        (ZeroDivisionError("x"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_run_that_fails(
    error: BaseException, expected: int, replace: Replace, capsys: pytest.CaptureFixture[str]
) -> None:
    replace("nlptl.fitting", fit=fails_with(error))
    assert status("run", "spam.yaml") == expected
    assert "Traceback" not in capsys.readouterr().err


def test_what_nobody_expected_is_one_line_with_its_place_and_the_next_step(
    replace: Replace, capsys: pytest.CaptureFixture[str]
) -> None:
    replace("nlptl.fitting", fit=fails_with(ZeroDivisionError("two\nlines")))
    status("run", "spam.yaml")
    said = capsys.readouterr().err
    assert said.startswith("error: ZeroDivisionError: two lines (at test_cli.py:")
    assert said.endswith("run again with --debug for the traceback.\n") and said.count("\n") == 1


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), RunError("the loss is NaN")], ids=repr)
def test_debug_lets_the_traceback_through(error: Exception, replace: Replace) -> None:
    replace("nlptl.fitting", fit=fails_with(error))
    with pytest.raises(type(error)):
        main(["run", "spam.yaml", "--debug"])


def test_any_command_that_is_interrupted_is_130(replace: Replace) -> None:
    replace("nlptl.predict", predict_file=fails_with(KeyboardInterrupt()))
    assert status("predict", "model", "in.csv", "-o", "out.csv") == 130


def test_show_without_a_recipe_says_what_writes_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("show") == 2
    said = capsys.readouterr().err
    assert "nlptl init" in said and "recipes/" not in said  # a wheel holds no recipes


def test_all_problems_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("check", "spam.yaml", "train.lr=fast", "seed=-1", "encoder.pool=lats") == 2
    assert capsys.readouterr().err.startswith("error: 3 problems in spam.yaml:\n  override 'encoder.pool=lats'")


# --- several processes ------------------------------------------------------------------------------------------------


def test_only_the_main_process_prints(
    replace: Replace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace("nlptl.fitting", fit=lambda *_, **__: SimpleNamespace(results="the table", folder=Path("runs/x")))
    monkeypatch.setenv("RANK", "1")
    assert status("run", "spam.yaml") == 0
    assert status("check", "absent.yaml") == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_another_process_says_what_it_alone_met(
    replace: Replace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace("nlptl.fitting", fit=fails_with(RunError("out of memory")))
    monkeypatch.setenv("RANK", "1")
    assert status("run", "spam.yaml") == 1
    assert capsys.readouterr().err == "error in process 1: out of memory\n"


# --- commands ---------------------------------------------------------------------------------------------------------


def test_run_hands_over_what_was_asked(replace: Replace, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []

    def fit(recipe: Recipe, *, out: Path | None, resume: bool) -> SimpleNamespace:
        asked.extend((recipe, out, resume))
        return SimpleNamespace(results="the table", folder=Path("runs/[v2]/a[/b]"))

    replace("nlptl.fitting", fit=fit)
    assert status("run", "spam.yaml", "seed=3", "--out", "there", "train.lr=1e-4", "--resume") == 0
    assert asked == [Recipe.load("spam.yaml", "seed=3", "train.lr=1e-4"), Path("there"), True]
    place = "runs/[v2]/a[/b]"  # names are shown as they are, not as markup
    assert capsys.readouterr().out == f"the table\nReport: {place}/report.html\nModel: {place}/model\n"


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0 and capsys.readouterr().out == f"nlptl {__version__}\n"


def test_check_says_what_would_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("check", "spam.yaml") == 0
    said = capsys.readouterr().out
    assert "is sound" in said and "data: csv, mail.csv, 0.0 MiB\n  rows: 30; " in said


def test_show_prints_a_recipe_that_loads_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("show", "spam.yaml", "train.lr=1e-4") == 0
    (folder / "shown.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert Recipe.load("shown.yaml") == Recipe.load("spam.yaml", "train.lr=1e-4")


@pytest.mark.parametrize("arguments", [("show", "--schema"), ("show", "spam.yaml", "--schema")], ids=" ".join)
def test_show_prints_the_schema(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert status(*arguments) == 0
    assert json.loads(capsys.readouterr().out) == Recipe.json_schema()


def test_list_names_every_kind_and_tells_which_recipes_do_not_name(capsys: pytest.CaptureFixture[str]) -> None:
    from nlptl.registry import ROOMS, kinds

    assert status("list") == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    told = [row for row in rows if row[0] == "Recipes"]
    assert rows == [[room, kind] for room in ROOMS for kind in kinds(room)] + told
    assert len(told) == len([room for room in ROOMS if room not in Recipe.model_fields]) == 2


def test_list_of_one_room(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("list", "tune") == 0
    said = capsys.readouterr().out
    assert "lora" in said and "linear" not in said and "Recipes do not name" not in said
    assert status("list", "export") == 0
    said = capsys.readouterr().out
    assert "onnx" in said and "Recipes do not name kinds of export: 'nlptl export --to KIND' does" in said


def test_what_list_says_of_python_is_so(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    import nlptl
    from nlptl.contracts.diagnose import View

    assert status("list", "diagnose") == 0
    assert "nlptl.diagnose.Logme().measure(View(features=…, labels=…))" in capsys.readouterr().out
    features = np.random.default_rng(0).normal(size=(20, 3))
    assert nlptl.diagnose.Logme().measure(View(features=features, labels=np.arange(20) % 2))


def test_predict_hands_over_what_was_asked(replace: Replace) -> None:
    asked: dict[str, Any] = {}
    replace("nlptl.predict", predict_file=lambda *paths, **options: asked.update(options, paths=paths))
    options = ("-o", "out.parquet", "--text", "body", "--domain", "user", "data.delimiter=;")
    assert status("predict", "model", "in.csv", *options) == 0
    assert asked.pop("paths") == (Path("model"), Path("in.csv"), Path("out.parquet"))
    assert asked == {"text": "body", "text_pair": None, "domain": "user", "id": None, "batch_tokens": None} | {
        "overrides": ["data.delimiter=;"]
    }


def test_cache_shows_what_is_kept_and_clears_it(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    cache = Path(os.environ["NLPTL_CACHE"])
    kept = cache / "features" / "0a1b"
    (kept / "shard-0").mkdir(parents=True)
    about = {"encoder": "org/[b]minilm[/i]", "precision": "bfloat16", "max_length": 128}
    (kept / "about.json").write_text(json.dumps(about), encoding="utf-8")
    np.save(kept / "shard-0" / "keys.npy", np.zeros((40, 2**16), np.uint8))
    assert status("cache", "show") == 0
    head, row, place = capsys.readouterr().out.splitlines()
    assert head.split() == ["encoder", "precision", "max_length", "texts", "MiB", "last", "used"]
    assert row.split()[:5] == ["org/[b]minilm[/i]", "bfloat16", "128", "40", "2.5"]
    assert place == f"In {cache}; 'nlptl cache clear' empties it."
    assert status("cache", "clear") == 0 and not kept.exists()
    assert capsys.readouterr().out == "2.5 MiB freed.\n"


def test_compare_prints_the_table(replace: Replace, capsys: pytest.CaptureFixture[str]) -> None:
    replace("nlptl.report.compare", compare=lambda first, second: f"{first} against {second}")
    assert status("compare", "runs/a", "runs/b") == 0
    assert capsys.readouterr().out == "runs/a against runs/b\n"


def test_suggest_prints_ids_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": "[red]7[/blue]", "domain": "a", "text": "win", "answer": "spam", "margin": 0.1}
    monkeypatch.setattr(Recipe, "suggest", lambda *_: pd.DataFrame([row]))
    assert status("suggest", "spam.yaml") == 0
    assert "[red]7[/blue]" in capsys.readouterr().out


# --- init -------------------------------------------------------------------------------------------------------------


def test_init_writes_a_recipe_that_checks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("init", "mail.csv") == 0
    recipe = Recipe.load("recipe.yaml")
    assert not isinstance(recipe.data, dict)
    assert (recipe.data.kind, recipe.data.text, recipe.data.domain) == ("csv", "text", "user")
    head = recipe.heads["spam"]
    assert (head.column, head.labels, head.positive) == ("label", ("ham", "spam"), "spam")
    written = (folder / "recipe.yaml").read_text(encoding="utf-8")
    assert "2 labels: ham 20, spam 10" in written and "2 domains: a 15, b 15" in written
    assert status("check", "recipe.yaml") == 0
    [change] = re.findall(r"# Change:  append (\S+),", written)
    assert status("check", "recipe.yaml", change) == 0 and "not read: " not in capsys.readouterr().out
    assert Recipe.load("recipe.yaml", change) != recipe


def test_init_overwrites_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("init", "mail.csv", "-o", "spam.yaml") == 2
    assert "exists already" in capsys.readouterr().err
    assert (folder / "spam.yaml").read_text(encoding="utf-8") == RECIPE


def tickets(number: str, opened: str, time: str = "2024-03-{:02} 09:15") -> str:
    """Thirty tickets, whose number and time have these names."""
    rows = (f"T-{n},{time.format(n + 1)},the printer is on fire {n},{('low', 'high')[n % 2]}\n" for n in range(30))
    return f"{number},{opened},issue,priority\n" + "".join(rows)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.tsv", MAIL.replace(",", "\t"), {"kind": "csv", "delimiter": "\t"}),
        ("b.csv", MAIL.replace(",", ";"), {"kind": "csv", "delimiter": ";"}),
        ("c.csv", MAIL.replace("cash", "café"), {"kind": "csv", "encoding": "cp1252"}),
        ("d.csv", MAIL.replace("text,label,user", "Body,Class,mailbox"), {"text": "Body", "domain": "mailbox"}),
        (
            "e.jsonl",
            "".join(
                json.dumps(
                    {"sent": f"2020-01-{n + 1:02}", "message": f"this is text {n}", "y": n % 3, "split": "train"}
                )
                + "\n"
                for n in range(30)
            ),
            {"kind": "jsonl", "text": "message", "time": "sent", "split": "split", "domain": None},
        ),
        ("f.csv", tickets("ticket", "opened"), {"text": "issue", "id": "ticket", "time": "opened"}),
        ("g.csv", tickets("caseId", "receivedAt"), {"text": "issue", "id": "caseId", "time": "receivedAt"}),
        ("h.csv", tickets("ref", "angelegt am"), {"id": "ref", "time": "angelegt am"}),  # by its cells
        ("i.csv", tickets("ticket", "release", "1.2.{}"), {"id": "ticket", "time": None}),
        ("j.csv", tickets("ticket", "opened").replace("T-", "T "), {"id": None}),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 8 else "",
)
def test_init_looks_at_the_data(name: str, content: str, expected: dict[str, Any], folder: Path) -> None:
    (folder / name).write_bytes(content.encode("cp1252"))
    assert status("init", name) == 0
    found = Recipe.load("recipe.yaml").data
    assert {key: getattr(found, key) for key in expected} == expected
    assert status("check", "recipe.yaml") == 0


@pytest.mark.parametrize(
    ("labels", "names"),
    [((True, False), ("false", "true")), ((1.0, 0.0), ("0", "1")), ((0.5, 2.0), ("0.5", "2")), (("No", "Yes"), None)],
    ids=str,
)
def test_init_names_labels_as_they_are_read(labels: tuple[Any, Any], names: Any, folder: Path) -> None:
    rows = {"text": [f"this is text {n}" for n in range(30)], "y": [labels[n % 2] for n in range(30)]}
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    assert status("init", "rows.parquet") == 0
    assert Recipe.load("recipe.yaml").heads["y"].labels == (names or labels)
    assert status("check", "recipe.yaml") == 0


@pytest.mark.parametrize("name", ["2024", "true", "1e3", "null"])
def test_init_keeps_names_that_yaml_would_read_as_something_else(name: str, folder: Path) -> None:
    (folder / f"{name}.csv").write_text(MAIL, encoding="utf-8")
    assert status("init", f"{name}.csv") == 0
    assert Recipe.load("recipe.yaml").name == name


def test_init_leaves_nothing_that_does_not_load(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nlptl.cli.draft.inline", str)
    (folder / "2024.csv").write_text(MAIL, encoding="utf-8")
    assert status("init", "2024.csv") == 2
    assert "recipe.yaml:5: name: 2024 is not text" in capsys.readouterr().err
    assert not (folder / "recipe.yaml").exists()


def test_init_shows_control_characters_as_question_marks(folder: Path) -> None:
    made = MAIL.replace(",spam,", ",sp\x07am,").replace(",a\n", ",a\x0bb\n")
    (folder / "odd.csv").write_text(made, encoding="utf-8")
    assert status("init", "odd.csv") == 0
    assert "sp?am 10" in (folder / "recipe.yaml").read_text(encoding="utf-8")
    assert "sp\x07am" in (next(iter(Recipe.load("recipe.yaml").heads.values())).labels or ())
    assert status("check", "recipe.yaml") == 0


@pytest.mark.parametrize("name", ["text", "problem", "a.b"])
def test_init_names_no_task_as_no_task_can_be_named(name: str, folder: Path) -> None:
    table = MAIL.replace("text,label,user", f"mail,{name},user").replace("spam", "good")
    (folder / "x.csv").write_text(table, encoding="utf-8")
    assert status("init", "x.csv") == 0
    [(task, head)] = Recipe.load("recipe.yaml").heads.items()
    assert (task, head.column) == ("answer", name)


@pytest.mark.parametrize("name", ["development", "Eval", "unlabel"])
def test_init_knows_the_names_of_splits_that_are_read(name: str, folder: Path) -> None:
    rows = (f"this is text {n},{n % 2},{('train', name)[n % 2]}\n" for n in range(30))
    (folder / "x.csv").write_text("text,label,split\n" + "".join(rows), encoding="utf-8")
    assert status("init", "x.csv") == 0
    assert Recipe.load("recipe.yaml").first_source.split == "split"


@pytest.mark.parametrize(
    ("name", "said"),
    [("notes.docx", "known endings: "), ("numbers.csv", "no column seems to hold text; the columns are: a, b")],
)
def test_init_says_what_it_cannot_read(name: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / name).write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    assert status("init", name) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "recipe.yaml").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "", "'a.csv' has no rows; "),
        ("b.csv", "text,label\n", "'b.csv' has no rows; "),
        ("c.jsonl", "", "'c.jsonl' has no rows; "),
        ("d.csv", "text,label\nx\n", "'d.csv' has no rows that can be read. Most frequent: 1 × wrong column count"),
    ],
)
def test_init_says_that_there_are_no_rows(
    name: str, content: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    assert status("init", name) == 2
    assert said in capsys.readouterr().err


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "domain", "task", "positive"),
    [
        ("enron_spam_4users", "user", "spam", "spam"),
        ("reviews_10domains", "domain", "label", "positive"),
        ("trec_qc", None, "label", None),
    ],
)
def test_init_on_real_data(name: str, domain: str | None, task: str, positive: str | None, shared_data: Path) -> None:
    assert status("init", str(shared_data / f"{name}.parquet")) == 0
    recipe = Recipe.load("recipe.yaml")
    assert not isinstance(recipe.data, dict)
    assert recipe.data.domain == domain
    assert recipe.heads[task].column == "label" and recipe.heads[task].positive == positive
    assert status("check", "recipe.yaml") == 0
