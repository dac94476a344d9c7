"""The commands that look before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nlptl.cli.arguments import Debug, Overrides, RecipeFile
from nlptl.cli.console import ANOTHER, check_asked, console, echo, write_asked
from nlptl.errors import DataError, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write what was found as JSON.")]


def diagnose(
    recipe: RecipeFile,
    overrides: Overrides = None,
    look: Annotated[
        Literal["shift", "senses", "rows"],
        typer.Option(help="shift: between domains; senses: words that mean something else; rows: labels to look at."),
    ] = "shift",
    output: Output = None,
    debug: Debug = False,
) -> None:
    """Say before training what differs between sources and targets, how sure that is, and what to try against it."""
    from nlptl.recipe import Recipe

    check_asked(output)
    _show(Recipe.load(recipe, *overrides or ()).diagnose(look), output)


def suggest(
    recipe: RecipeFile,
    overrides: Overrides = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="Rows to label.")] = 50,
    by: Annotated[
        Literal["uncertainty", "diversity", "both"], typer.Option(help="What the head is unsure of, spread, or both.")
    ] = "both",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where they go: .csv, .jsonl or .parquet.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Choose the rows of the targets whose labels would teach most, in the order in which to label them."""
    from nlptl.recipe import Recipe

    if output is not None and output.suffix not in WRITERS:
        raise DataError(f"{str(output)!r} names no format that is written; choose one of {', '.join(WRITERS)}.")
    check_asked(output)
    found = Recipe.load(recipe, *overrides or ()).suggest(number, by)
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "domain", "answer", "margin", "text", box=None, pad_edge=False)
    for row in found.to_dict(orient="records"):
        text = " ".join(row["text"].split())
        answer = ("–", "–") if row["answer"] is None else (row["answer"], f"{row['margin']:.3f}")
        table.add_row(Text(str(row["id"])), Text(row["domain"]), *map(Text, answer), Text(text[:EXCERPT]))
    console().print(table)
    if output is not None:
        with writing(output, ANOTHER):
            WRITERS[output.suffix](found, output)


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    ".csv": lambda table, path: table.to_csv(path, index=False),
    ".jsonl": lambda table, path: table.to_json(path, orient="records", lines=True, force_ascii=False),
    ".parquet": lambda table, path: table.to_parquet(path, index=False),
}
"""By the file's ending, how a table is written."""

EXCERPT = 80


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

    check_asked(output)
    settings = Recipe.load(recipe, *overrides or ())
    models = [*(encoder or ()), *_runs(run or ())]
    from nlptl.diagnosing.rank import rank_candidates
    from nlptl.diagnosing.rank import rank_sources as ranked

    _show(rank_candidates(settings, models) if models else ranked(settings), output)


def _runs(given: Sequence[str]) -> Iterator[str]:
    """The folders of models that paths or globs mean."""
    from glob import glob

    from nlptl.errors import ModelError
    from nlptl.saved.taken import is_run

    for each in given:
        found = [path for path in sorted(glob(each)) if is_run(path)]
        if not found:
            raise ModelError(f"--run {each}: no run or model folder is there; name folders that 'nlptl run' left.")
        yield from found


def _show(found: Any, output: Path | None) -> None:
    console().print(found)
    for line in found.notes():
        echo(line)
    if output is not None:
        write_asked(output, json.dumps(dict(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


COMMANDS: dict[str, Callable[..., None]] = {"diagnose": diagnose, "rank-sources": rank_sources, "suggest": suggest}
"""By name, for ``nlptl.cli`` to register."""
