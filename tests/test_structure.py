"""The house: imports go one way, a name is a file, modules stay short, nothing runs code that data names."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import nlptl
from nlptl.recipe import Recipe, Train
from nlptl.registry import ROOMS, Settings, class_name, find, kinds

PACKAGE = Path(nlptl.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

ORDER = (
    "errors", "registry", "progress", "contracts", "recipe", "data", "encoder", "heads", "evaluate",
    "diagnose", "transfer", "tune",
    "augment", "adapt", "balance", "model",
    "train", "report", "saved", "export", "fitting", "diagnosing", "predict", "cli", "__main__",
)  # fmt: skip
"""The rooms; each imports only itself and those to its left. ``cli.draft`` belongs to ``cli``, and so on."""

LONGEST = 300


def room_of(dotted: str) -> str | None:
    """The room of ``nlptl.<something>``; None for the package itself."""
    parts = dotted.split(".")
    if len(parts) == 1:
        return None
    name = parts[1]
    return name.strip("_").split("_")[0] if name.startswith("_") and not name.startswith("__") else name


def dotted_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> Iterator[str]:
    """Every ``nlptl`` module that ``tree`` imports, at the top or in functions, but for type checking."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "nlptl")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            if node.module == "nlptl":
                yield from (f"nlptl.{alias.name}" for alias in node.names if not alias.name.startswith("__"))
            elif node.module and node.module.split(".")[0] == "nlptl":
                yield node.module
        yield from imports(node)


def downhill(path: Path, source: str) -> list[str]:
    """The modules that ``source`` imports and that stand to the right of its own room."""
    own = room_of(dotted_name(path))
    if own is None:
        return []
    return [name for name in imports(ast.parse(source)) if ORDER.index(room_of(name) or "errors") > ORDER.index(own)]


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room_of(dotted_name(path)) for path in MODULES} == {None, *ORDER}


@pytest.mark.parametrize("path", MODULES, ids=dotted_name)
def test_imports_go_only_uphill(path: Path) -> None:
    assert downhill(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import nlptl.cli", ["nlptl.cli"]),
        ("from nlptl import tune", ["nlptl.tune"]),
        ("def f():\n    from nlptl.train.loop import run", ["nlptl.train.loop"]),
        ("if TYPE_CHECKING:\n    from nlptl.train.loop import run", []),
        ("from nlptl.errors import DataError\nfrom nlptl.heads import _solve\nfrom nlptl import __version__", []),
    ],
)
def test_the_guard_sees_imports_downhill(source: str, found: list[str]) -> None:
    assert downhill(PACKAGE / "heads" / "example.py", source) == found


@pytest.mark.parametrize("path", MODULES, ids=dotted_name)
def test_modules_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def forbidden(source: str) -> list[str]:
    """Whatever in ``source`` could run what data or a recipe holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [
                name for name in names if name.split(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "shelve")
            ]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            found.append(node.func.id)
        elif isinstance(node, ast.keyword) and node.arg == "trust_remote_code" and not _is(node.value, False):
            found.append("trust_remote_code")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load" and not _weights_only(node):
            found.append("torch.load")
    return found


def _weights_only(call: ast.Call) -> bool:
    return any(word.arg == "weights_only" and _is(word.value, True) for word in call.keywords)


def _is(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", MODULES, ids=dotted_name)
def test_nothing_runs_what_data_holds(path: Path) -> None:
    assert forbidden(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from pickle import loads", "eval(x)", "exec(x)", "f(trust_remote_code=True)", "torch.load(p)"],
)
def test_the_guard_sees_what_could_run(source: str) -> None:
    assert forbidden(source)


@pytest.mark.parametrize("source", ["model.eval()", "f(trust_remote_code=False)", "torch.load(p, weights_only=True)"])
def test_the_guard_lets_through_what_could_not(source: str) -> None:
    assert not forbidden(source)


# --- kinds ------------------------------------------------------------------------------------------------------------

KINDS = [(room, kind) for room in ROOMS for kind in kinds(room)]


def test_every_room_of_kinds_has_some() -> None:
    assert {room for room, _ in KINDS} == set(ROOMS)


@pytest.mark.parametrize(("room", "kind"), KINDS)
def test_a_kind_is_its_file(room: str, kind: str) -> None:
    found = find(room, kind)
    assert issubclass(found, Settings)
    assert found.__name__ == class_name(kind)
    assert found.__module__ == f"nlptl.{room}.{kind}"
    field = found.model_fields["kind"]
    assert get_args(field.annotation) == (kind,) and field.default == kind


@pytest.mark.parametrize(("room", "kind"), KINDS)
def test_a_kind_says_what_it_does_in_one_line(room: str, kind: str) -> None:
    summary = inspect.getdoc(find(room, kind)).partition("\n\n")[0]
    assert summary and "\n" not in summary, (
        f"the first paragraph must be one line, as `nlptl list` prints it: {summary}"
    )


def settings_within(found: type[Settings]) -> Iterator[type[Settings]]:
    """``found`` and all settings that its fields hold, at any depth; kinds have no place of their own there."""
    yield found
    for field in found.model_fields.values():
        for inside in settings_in(field.annotation):
            if inside is not found:
                yield from settings_within(inside)


def settings_in(annotation: Any) -> Iterator[type[Settings]]:
    """The settings that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for argument in get_args(annotation):
        yield from settings_in(argument)


SECTIONS = sorted(
    {each for kind in (Recipe, *(find(*kind) for kind in KINDS)) for each in settings_within(kind)}, key=str
)
"""A recipe, its sections, the kinds, and what is written inside them."""


def test_every_setting_of_a_recipe_is_looked_at() -> None:
    names = {section.__name__ for section in SECTIONS}
    assert {"Recipe", "Transfer", "Encoder", "Train", "Evaluate", "Anomalies", "ColdStart", "Calibrate"} <= names
    assert {class_name(kind) for _, kind in KINDS} <= names


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: f"{section.__module__}.{section.__name__}")
def test_every_setting_says_what_it_means(section: type[Settings]) -> None:
    """A whole section says it in its docstring, and is written over lines of its own."""
    without = [
        name
        for name, field in section.model_fields.items()
        if name != "kind" and not field.description and not _is_section(field.annotation)
    ]
    assert without == []


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Settings) and bool(inspect.getdoc(annotation))


def test_each_value_of_the_sampler_is_explained() -> None:
    field = Train.model_fields["sampler"]
    said = str(field.description)
    assert field.default == get_args(field.annotation)[0] and said.startswith("Tasks are met by their rows")
    assert all(f"; {value}: " in said for value in get_args(field.annotation)[1:])


def test_every_room_has_its_tests() -> None:
    """``pytest tests/tune`` runs what is held of ``nlptl/tune``; contracts are held by the kinds that keep them."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"contracts"}
    assert rooms == {path.parent.name for path in Path(__file__).parent.glob("*/test_*.py")}
