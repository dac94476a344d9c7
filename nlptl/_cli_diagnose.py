"""The commands that look before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change, such as encoder.pool=last.")
]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's YAML file.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write what was found as JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def diagnose(recipe: RecipeFile, overrides: Overrides = None, output: Output = None, debug: Debug = False) -> None:
    """Say before training what differs between sources and targets, how sure that is, and what fits against it."""
    from nlptl.recipe import Recipe

    _show(Recipe.load(recipe, *overrides or ()).diagnose(), output)


def rank_sources(
    recipe: RecipeFile,
    overrides: Overrides = None,
    encoder: Annotated[
        list[str] | None, typer.Option("--encoder", help="Rank encoders instead: one to compare; may be repeated.")
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option("--run", help="Rank earlier runs too: a folder, or a glob such as 'runs/*'.")
    ] = None,
    output: Output = None,
    debug: Debug = False,
) -> None:
    """Order the sources for each target by what they would be worth, without training or the target's labels; or
    encoders and earlier runs, at each layer, by heads solved on the rows that teach."""
    from nlptl.recipe import Recipe

    settings = Recipe.load(recipe, *overrides or ())
    models = [*(encoder or ()), *_runs(run or ())]
    from nlptl._diagnosing_rank import rank_candidates
    from nlptl._diagnosing_rank import rank_sources as ranked

    _show(rank_candidates(settings, models) if models else ranked(settings), output)


def _runs(given: Sequence[str]) -> Iterator[str]:
    """The folders of models that paths or globs mean."""
    from glob import glob

    from nlptl._saved_taken import is_run
    from nlptl.errors import ModelError

    for each in given:
        found = [path for path in sorted(glob(each)) if is_run(path)]
        if not found:
            raise ModelError(f"--run {each}: no run or model folder is there; name folders that 'nlptl run' left.")
        yield from found


def _show(found: Any, output: Path | None) -> None:
    from nlptl.cli import _console

    if output is not None:
        output.write_text(json.dumps(dict(found), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _console().print(found)


COMMANDS: dict[str, Callable[..., None]] = {"diagnose": diagnose, "rank-sources": rank_sources}
"""By name, for ``nlptl.cli`` to register."""
