"""The command line. Exit status: 0; 1 a run failed; 2 a mistake in recipe, command or data; 130 interrupted.

Each command imports what it needs when it runs, so that help and checks start at once. Of several processes started by
a launcher, the main one alone prints.
"""

import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from nlptl import __version__
from nlptl.cli.arguments import Debug, Overrides, RecipeFile
from nlptl.cli.console import console, echo, say_error, write_asked
from nlptl.cli.looking import COMMANDS
from nlptl.errors import NlptlError, RecipeError
from nlptl.progress import is_main_process

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Reading = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="How the file is read, as in recipes: data.kind=mbox, data.delimiter=';'; by default by its ending.",
    ),
]
FILES = "csv, tsv, jsonl, parquet, mbox or eml files: one, a folder, or mail/{user}/inbox.mbox; or maildirs."


def _told_version(asked: bool) -> None:
    if asked:
        echo(f"nlptl {__version__}")
        raise typer.Exit()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status; no traceback is shown without ``--debug``."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(given, prog_name="nlptl")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if "--debug" in given:
            raise
        sys.exit(_told(error))


def _told(error: Exception) -> int:
    """Print ``error`` in a line or a few; the exit status that it means."""
    if isinstance(error, NlptlError):
        if error.exit_status != 2 or is_main_process():  # every process meets the same mistake
            say_error(str(error))
        return error.exit_status
    where = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(str(error).split())
    say_error(
        f"{type(error).__name__}: {message} (at {Path(where.filename).name}:{where.lineno}). "
        "This is a mistake of nlptl or of a library below it; run again with --debug for the traceback."
    )
    return 1


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_told_version, help="Say which.")
    ] = False,
) -> None:
    """Transfer learning for text: a recipe becomes the model that serves each domain best."""


@app.command()
def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/<name>.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.")] = False,
    debug: Debug = False,
) -> None:
    """Fit what a recipe describes, and leave a run folder with the model, the results and a report."""
    from nlptl.recipe import Recipe

    settings = Recipe.load(recipe, *overrides or ())
    from nlptl.fitting import fit
    from nlptl.fitting.launch import destroy_process_group

    try:
        finished = fit(settings, out=out, resume=resume)
    except KeyboardInterrupt:
        if is_main_process():
            typer.echo("Interrupted. The same command with --resume goes on from the last checkpoint.", err=True)
        raise typer.Exit(130) from None
    destroy_process_group()
    console().print(finished.results)
    echo(f"Report: {finished.folder / 'report.html'}")
    echo(f"Model: {finished.folder / 'model'}")


@app.command()
def check(recipe: RecipeFile, overrides: Overrides = None, debug: Debug = False) -> None:
    """Say what is wrong with a recipe, all of it at once; or what it would do."""
    from nlptl.cli.outline import outline
    from nlptl.recipe import Recipe

    echo("\n".join(outline(Recipe.load(recipe, *overrides or ()))))


@app.command()
def show(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE]", help="The recipe's YAML file.")] = None,
    overrides: Overrides = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of recipes, for editors.")] = False,
    debug: Debug = False,
) -> None:
    """Print a recipe with everything it extends, every override and every default."""
    from nlptl.recipe import Recipe

    if recipe is not None:
        resolved = Recipe.load(recipe, *overrides or ())
        echo(json.dumps(Recipe.json_schema(), indent=2) if schema else resolved.to_yaml().rstrip())
    elif schema:
        echo(json.dumps(Recipe.json_schema(), indent=2))
    else:
        raise RecipeError("show needs a recipe, such as 'nlptl init DATA' writes for your data, or --schema.")


@app.command("list")
def list_kinds(
    room: Annotated[str | None, typer.Argument(help="One of the rooms that have kinds; by default all.")] = None,
    debug: Debug = False,
) -> None:
    """List the kinds there are, with what each does, and below them what recipes do not name, and who does."""
    from rich.table import Table
    from rich.text import Text

    from nlptl.registry import ROOMS, UNNAMED, find, kinds

    shown = ROOMS if room is None else (room,)
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in shown:
        for kind in kinds(each):
            summary = (find(each, kind).__doc__ or "").partition("\n")[0].replace("``", "")
            table.add_row(each, Text(kind, "bold"), Text(summary))
    console().print(table)
    for each, who in UNNAMED.items():
        if each in shown:
            echo(f"Recipes do not name kinds of {each}: {who}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model folder, or a run folder with one.")],
    input: Annotated[Path, typer.Argument(help=f"Texts in {FILES}")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the answers go: .parquet, .csv or .jsonl.")],
    reading: Reading = None,
    text: Annotated[str | None, typer.Option(help="Column of the text; by default as in training.")] = None,
    text_pair: Annotated[str | None, typer.Option(help="Column of the second text.")] = None,
    domain: Annotated[str | None, typer.Option(help="Column of the domain.")] = None,
    id: Annotated[str | None, typer.Option(help="Column of a row id that is kept.")] = None,
    batch_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens a batch; by default as in training.")] = None,
    debug: Debug = False,
) -> None:
    """Answer every row of a file, in order; rows that cannot be read get a reason instead."""
    from nlptl.predict import predict_file

    predict_file(
        model, input, output, text=text, text_pair=text_pair, domain=domain, id=id, batch_tokens=batch_tokens,
        overrides=reading or (),
    )  # fmt: skip
    echo(f"Answers: {output}")


@app.command("add-domain")
def add_domain(
    model: Annotated[Path, typer.Argument(help="A model folder with per-domain heads, or a run folder with one.")],
    labels: Annotated[Path, typer.Argument(help=f"Texts and labels in {FILES}")],
    reading: Reading = None,
    name: Annotated[str | None, typer.Option(help="The domain of all rows.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of the text; by default as in training.")] = None,
    domain: Annotated[str | None, typer.Option(help="Column of the domain, where there are several.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the labels; by default as in training.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Fit domains anew that have a head already.")] = False,
    debug: Debug = False,
) -> None:
    """Give a user or domain a head of its own in a saved model, from its labels alone."""
    from nlptl.cli.domains import add_domains

    for each, (rows, taught) in add_domains(
        model, labels, name=name, text=text, domain=domain, label=label, replace=replace, overrides=reading or ()
    ).items():
        echo(f"{each}: a head of its own, from {taught} labelled rows of {rows}.")


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A model folder, or a run folder with one.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder that it goes to.")],
    reading: Reading = None,
    to: Annotated[str, typer.Option(help="A kind of export: see 'nlptl list export'.")] = "onnx",
    int8: Annotated[bool, typer.Option("--int8", help="Quantise matrix products to eight bits (onnx).")] = False,
    texts: Annotated[
        Path | None, typer.Option(help="Texts to compare answers on, in a file that predict reads.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Its column of the text; by default as in training.")] = None,
    text_pair: Annotated[str | None, typer.Option(help="Its column of the second text.")] = None,
    debug: Debug = False,
) -> None:
    """Write a model in another shape, and say on given texts whether it answers alike."""
    from nlptl.cli.exports import export_model

    for line in export_model(
        model, output, to=to, int8=int8, texts=texts, text=text, text_pair=text_pair, overrides=reading or ()
    ):
        echo(line)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another, on the same scored rows.")],
    debug: Debug = False,
) -> None:
    """Compare two runs on the rows that both scored."""
    from nlptl.report.compare import compare as compared

    console().print(compared(first, second))


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="A csv, jsonl, parquet or mbox file, or a folder of mail.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the recipe goes.")] = Path("recipe.yaml"),
    debug: Debug = False,
) -> None:
    """Look at data and write a commented recipe for it."""
    from nlptl.cli.draft import draft

    if output.exists():
        raise RecipeError(f"{str(output)!r} exists already; name another file with -o.")
    write_asked(output, draft(data, output))
    echo(f"Recipe: {output}. Read it, then: nlptl run {output}")


@app.command()
def cache(
    action: Annotated[Literal["show", "clear"], typer.Argument(help="What to do with it.")] = "show",
    debug: Debug = False,
) -> None:
    """Show or clear the vectors that are kept so that no text is encoded twice."""
    from nlptl.encoder import store

    if action == "clear":
        echo(f"{store.clear() / 2**20:.1f} MiB freed.")
        return
    from datetime import datetime

    from rich.table import Table
    from rich.text import Text

    table = Table("encoder", "precision", "max_length", "texts", "MiB", "last used", box=None, pad_edge=False)
    for each in store.usage():
        used = datetime.fromtimestamp(each.used).isoformat(" ", "minutes")
        table.add_row(
            Text(each.encoder),
            each.precision,
            str(each.max_length),
            str(each.texts),
            f"{each.bytes / 2**20:.1f}",
            used,
        )
    console().print(table)
    echo(f"In {store.cache_folder()}; 'nlptl cache clear' empties it.")


for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
