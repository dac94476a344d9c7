"""A command as a shell runs it, in this process."""

import pytest

from nlptl.cli import main


def status(*arguments: str) -> int:
    """The exit status of ``nlptl`` with these arguments."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0)
