"""Seconds until commands and imports are there, each in a fresh process, beside an empty Python.

Fair, because: the same interpreter and environment, files in the page cache (one run before is not counted).

    python benchmarks/startup.py [repeats]
"""

from __future__ import annotations

import subprocess
import sys

from _paired import cell, paired

COMMANDS = {
    "import nlptl": ["-c", "import nlptl"],
    "python alone": ["-c", "pass"],
    "nlptl --help": ["-m", "nlptl", "--help"],
    "nlptl list": ["-m", "nlptl", "list"],
    "nlptl show": ["-m", "nlptl", "show", "recipes/quickstart.yaml"],
    "nlptl check": ["-m", "nlptl", "check", "recipes/quickstart.yaml"],
    "import transformers Trainer": ["-c", "from transformers import Trainer"],
}


def main(repeats: str = "7") -> None:
    """All in turn."""

    def runner(arguments: list[str]) -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    systems = {name: lambda arguments=arguments: runner(arguments) for name, arguments in COMMANDS.items()}
    cell("startup", "fresh processes", lambda: paired(systems, repeats=int(repeats)))


if __name__ == "__main__":
    main(*sys.argv[1:])
