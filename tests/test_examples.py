"""Every example runs, from its first cell to its last, with a tiny encoder in place of the default one."""

import runpy
from pathlib import Path

import pytest

from nlptl.encoder import backbone, locate

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(path: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = locate.locate

    def tiny(model: str, revision: str | None) -> locate.Located:
        return found(str(tiny_encoder), None)

    monkeypatch.setattr(backbone, "locate", tiny)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path))
    assert "# %%" in path.read_text(encoding="utf-8")
    assert list((tmp_path / "runs").glob("*/results.json"))
