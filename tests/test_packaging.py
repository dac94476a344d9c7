"""What is installed: the wheel holds the package with its templates and nothing else; the version has one home."""

import re
import shutil
import subprocess
import sys
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

import nlptl

ROOT = Path(__file__).parents[1]
OURS = ROOT / "nlptl"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel, built from a copy, so that no build folder is left in the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("nlptl", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ZipFile(next(copy.glob("*.whl")))


def metadata(wheel: ZipFile) -> dict[str, str]:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return dict(HeaderParser().parsestr(wheel.read(name).decode()))


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: ZipFile) -> None:
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in OURS.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == wanted
    assert "nlptl/py.typed" in inside and any(name.endswith(".jinja") for name in inside)


def test_the_version_is_written_once(wheel: ZipFile) -> None:
    assert metadata(wheel)["Version"] == nlptl.__version__
    assert not re.search(r'^version = "', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_wheel_carries_its_licence_and_its_command(wheel: ZipFile) -> None:
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "nlptl = nlptl.cli:main" in wheel.read(points).decode()


def test_constraints_pin_every_dependency_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split(" ;")[0] for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    named = {pin.split("==")[0] for pin in pins}
    wanted = re.findall(r'"([A-Za-z0-9.-]+)>=', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert len(wanted) > 30
    assert {name.lower() for name in wanted} <= named
    assert len(wanted) == len(set(wanted)), "an extra takes another by its name, nlptl[…]"


def test_the_wheel_says_what_it_runs_on(wheel: ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    told = HeaderParser().parsestr(wheel.read(name).decode()).get_all("Classifier") or []
    assert "Operating System :: POSIX" in told  # ``resource``, and folders that are synced
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)} <= set(told)


def test_libraries_without_types_are_those_that_are_imported() -> None:
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r'"(\w+)\.\*"', settings[settings.index("[[tool.mypy.overrides]]") :])
    code = "\n".join(path.read_text(encoding="utf-8") for path in OURS.rglob("*.py"))
    assert len(named) >= 8
    assert [name for name in named if not re.search(rf"^\s*(?:import|from) {name}\b", code, re.MULTILINE)] == []


def test_make_says_what_it_fetches_before_it_falls_silent() -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    installs = [place for place, line in enumerate(lines) if "pip install --quiet" in line]
    assert len(installs) == 3
    assert all(lines[place - 1].startswith('\t@echo "Fetching ') for place in installs)
