"""Mailboxes as folders in the Maildir format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from nlptl.data._mail import MailSource


class Maildir(MailSource):
    """Mails of Maildir folders. Labels and users may come from the path, as in ``mail/{user}/.{label}``."""

    kind: Literal["maildir"] = "maildir"

    suffixes: ClassVar[tuple[str, ...]] = ("cur/*", "new/*")

    def inside(self, folder: Path) -> Iterator[Path]:
        """The mails in ``cur`` and ``new`` of all maildirs at any depth; those in ``tmp`` are not delivered yet."""
        for file in folder.rglob("*"):
            if file.parent.name in ("cur", "new") and not file.name.startswith(".") and file.is_file():
                yield file
