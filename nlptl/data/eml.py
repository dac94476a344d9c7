"""Mails that are files of their own, mostly in folders."""

from __future__ import annotations

from typing import ClassVar, Literal

from nlptl.data._mail import MailSource


class Eml(MailSource):
    """Mails, one a file. Labels and users may come from the path, as in ``mail/{user}/{label}``."""

    kind: Literal["eml"] = "eml"

    suffixes: ClassVar[tuple[str, ...]] = (".eml",)
