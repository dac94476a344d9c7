"""Files that commands are asked to write: what was found is shown whatever becomes of them, and names are names."""

import io
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command import status

from nlptl.cli import looking
from nlptl.progress import bar
from nlptl.recipe import Recipe

ROW = {"id": "7", "domain": "a", "text": "win a prize", "answer": "spam", "margin": 0.1}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a recipe, and something in the way."""
    (tmp_path / "spam.yaml").write_text(
        "data: {kind: csv, path: mail.csv, domain: user}\nheads: {spam: {kind: linear, column: label}}\n"
    )
    (tmp_path / "taken.csv").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    return tmp_path


@pytest.mark.parametrize("command", [("diagnose",), ("suggest",), ("rank-sources",)], ids=" ".join)
@pytest.mark.parametrize(("output", "why"), [("missing/rows.csv", "no folder missing"), ("taken.csv", "is a folder")])
def test_a_file_without_a_place_is_told_before_the_work(
    command: tuple[str, ...], output: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def works(*_: Any, **__: Any) -> Any:
        raise AssertionError("the work has begun")

    monkeypatch.setattr(Recipe, "load", works)
    assert status(*command, "spam.yaml", "-o", output) == 2
    said = capsys.readouterr().err
    assert f"{output} cannot be written" in said and why in said and "name another with -o" in said


def test_what_was_found_is_shown_where_the_file_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Recipe, "suggest", lambda *_: pd.DataFrame([ROW]))
    monkeypatch.setitem(looking.WRITERS, ".csv", full)
    assert status("suggest", "spam.yaml", "-o", "rows.csv") == 2
    said = capsys.readouterr()
    assert "win a prize" in said.out and "rows.csv cannot be written (No space left on device)" in said.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_shows_a_domains_name_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with bar("answer lists[/dev]") as progress:
        progress(1, 2)
    assert "answer lists[/dev]" in shown.getvalue()
