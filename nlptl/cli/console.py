"""What commands print, and which of several processes prints it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nlptl.errors import DataError, writing
from nlptl.progress import is_main_process

if TYPE_CHECKING:
    from rich.console import Console

ANOTHER = "name another with -o"


def console() -> Console:
    """For tables; silent in all processes but the main one."""
    from rich.console import Console

    made = Console(quiet=not is_main_process())
    if not made.is_terminal:  # in a pipe or a log nothing is gained by folding tables at 80 columns
        made.width = max(made.width, 110)
    return made


def echo(text: str) -> None:
    """Print ``text`` as it is, unwrapped, from the main process."""
    if is_main_process():
        typer.echo(text)


def write_asked(path: Path, text: str) -> None:
    """Write a file that the user named, or raise DataError."""
    with writing(path, ANOTHER):
        path.write_text(text, encoding="utf-8")


def check_asked(path: Path | None) -> None:
    """Raise DataError, before any work is done, where a file that the user named has no place to be written to."""
    if path is None:
        return
    if path.is_dir() or not path.parent.is_dir():
        why = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise DataError(f"{path} cannot be written ({why}); {ANOTHER}.")


def say_error(message: str) -> None:
    """Print an error, with the process that met it where that is not the main one."""
    process = "" if is_main_process() else f" in process {os.environ['RANK']}"
    typer.secho(f"error{process}: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(message, err=True)
