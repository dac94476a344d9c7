"""The errors that nlptl raises on purpose.

    NlptlError
    ├── RecipeError    a recipe or command says something that cannot be meant    (exit status 2)
    ├── DataError      data is missing, malformed, or past what it may reject     (exit status 2)
    ├── ModelError     an encoder or saved model is absent, damaged or unfit      (exit status 2)
    └── RunError       a run began and could not go on                            (exit status 1)

A message names the thing, its value, its place and the next step, in one or two sentences.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path


class NlptlError(Exception):
    """Base of every error raised on purpose; the command line prints it without a traceback."""

    exit_status = 1


class RecipeError(NlptlError):
    """A recipe or a command is wrong. ``problems`` holds one line for each mistake."""

    exit_status = 2

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join((message, *(f"  {problem}" for problem in problems))))
        self.problems = problems or (message,)


class DataError(NlptlError):
    """Data is missing, malformed, or rejected past the limit that the recipe sets."""

    exit_status = 2


class ModelError(NlptlError):
    """An encoder or saved model is absent, damaged, or does not fit what it is asked to do."""

    exit_status = 2


class RunError(NlptlError):
    """A run began and could not go on, such as a loss that is not a number."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """A hint ``; did you mean 'x'?`` for the choice closest to ``name``, or an empty string."""
    matches = get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""


@contextmanager
def writing(path: Path, hint: str = "name another") -> Iterator[None]:
    """What the file system says against writing ``path`` becomes a DataError, with ``hint`` as the next step."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error}); {hint}.") from error
