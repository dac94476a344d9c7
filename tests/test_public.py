"""The public surface: exactly ``__all__``, and quick to import."""

import subprocess
import sys
from inspect import isfunction
from pathlib import Path
from types import ModuleType

import pytest

import nlptl
from nlptl.registry import ROOMS

PACKAGE = Path(nlptl.__file__).parent
HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "sklearn")
RECIPE = "data: {kind: csv, path: mail.csv}\nheads: {spam: {kind: linear, column: label}}\n"


def test_all_is_exactly_the_public_surface() -> None:
    assert nlptl.__all__ == [
        "DataError",
        "Model",
        "ModelError",
        "NlptlError",
        "Recipe",
        "RecipeError",
        "Run",
        "RunError",
        "__version__",
        "adapt",
        "augment",
        "balance",
        "data",
        "diagnose",
        "export",
        "fit",
        "heads",
        "load",
        "tune",
    ]
    assert dir(nlptl) == sorted(nlptl.__all__) == nlptl.__all__


@pytest.mark.parametrize("name", nlptl.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(nlptl, name) is not None


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        nlptl.fitt  # noqa: B018


@pytest.mark.parametrize("public", [nlptl.Recipe, nlptl.Model, nlptl.Run])
def test_what_public_methods_return_has_a_type(public: type) -> None:
    methods = {name: each for name, each in vars(public).items() if isfunction(each) and not name.startswith("_")}
    assert methods
    assert [name for name, each in methods.items() if each.__annotations__.get("return", "Any") == "Any"] == []


def test_no_public_function_shares_a_name_with_a_room_or_module() -> None:
    functions = [name for name in nlptl.__all__ if not isinstance(getattr(nlptl, name), ModuleType | type | str)]
    assert functions == ["fit", "load"]
    for name in functions:
        assert not (PACKAGE / name).exists() and not (PACKAGE / f"{name}.py").exists()


def loaded_by(code: str, *arguments: str, folder: Path) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after running ``code``."""
    code += f"\nimport sys; print('\\nLOADED', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(PACKAGE.parent), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_the_guard_sees_what_is_loaded(tmp_path: Path) -> None:
    assert loaded_by("import sys, types; sys.modules['peft'] = types.ModuleType('peft')", folder=tmp_path) == {"peft"}


@pytest.mark.parametrize("module", ["nlptl", "nlptl.recipe", "nlptl.cli", "nlptl.contracts"])
def test_importing_is_light(module: str, tmp_path: Path) -> None:
    assert loaded_by(f"import {module}", folder=tmp_path) == set()


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (("--help",), set()),
        (("check", "recipe.yaml"), {"datasets"}),  # in which the rows are read
        (("list",), set()),
        (("show", "recipe.yaml"), set()),
        (("show", "--schema"), set()),
        (("run", "--help"), set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_quick_commands_are_light(arguments: tuple[str, ...], loaded: set[str], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    mails = "".join(f"win cash {n},spam\nthe report {n},ham\n" for n in range(10))
    (tmp_path / "mail.csv").write_text(f"text,label\n{mails}", encoding="utf-8")
    code = (
        "import sys\nfrom nlptl.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert loaded_by(code, *arguments, folder=tmp_path) == loaded


def test_every_kind_imports_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nsys.modules['torch'] = None\n"
        "from nlptl.registry import ROOMS, find, kinds\n"
        "found = [find(room, kind) for room in ROOMS for kind in kinds(room)]\n"
        "assert len(found) == int(sys.argv[1]) > 0, found\n"
        "del sys.modules['torch']"
    )
    files = [path for room in ROOMS for path in (PACKAGE / room).glob("[!_]*.py")]
    assert loaded_by(code, str(len(files)), folder=tmp_path) == set()
