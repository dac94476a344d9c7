"""Made mail of several people, with shifts between them that are known: for the demo and for tests."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from nlptl.contracts import Quarantine, Source
from nlptl.data import _mailboxes_words as words
from nlptl.data._files import FILE, LINE

if TYPE_CHECKING:
    import pandas as pd

MEAN_SPAM, WIDEST = 0.4, 0.6
"""The people's mean share of spam, and the lowest and highest share's distance at full label shift."""
GREY_SHARE, QUOTED, MAILS_A_STREAM = 0.3, 0.06, 20
"""Of spam if nobody wants grey mail, and of ham if one wants all of it; of ham that quotes spam."""
BYTES = 300
"""Of a mail, on average."""
_SLOT = re.compile(r"\{([^{}]+)\}")
_BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)


class Mailboxes(Source):
    """Mail that nlptl writes itself. Columns: text, label (ham, spam, or null), user, date.

    Columns with the truth, for tests: ``truth`` (the label of unlabelled mails too), ``topic`` (a line of work,
    private, service, a grey topic or a kind of spam), ``copy`` (``exact`` or ``near`` for spam that others got too).

    Each shift is 0 for none, and does not touch the others. Covariate: what a person's ham speaks of, and, unless it is
    0, that some spam speaks of it too. Label: shares of spam from 0.4 − 0.3 s to 0.4 + 0.3 s, in even steps
    (``spam_share``). Concept: s / 2 of the people want each grey topic (newsletter, recruiting, offers) and call it
    ham; the others call it spam (``wanted``).
    """

    kind: Literal["mailboxes"] = "mailboxes"
    domain: str | None = Field("user", description="Column of the domain.")
    time: str | None = Field("date", description="Column of the time.")
    people: int = Field(5, ge=2, description="Mailboxes.")
    mails: int = Field(300, gt=0, description="Mails in each.")
    covariate: float = Field(0.5, ge=0, le=1, description="Covariate shift: share of ham about one's own work.")
    label_shift: float = Field(0.5, ge=0, le=1, description="Label shift: spread of the shares of spam around 0.4.")
    concept: float = Field(0.5, ge=0, le=1, description="Concept shift: how far people disagree on grey mail.")
    copies: float = Field(0.1, ge=0, le=1, description="Share of spam that others get too, unchanged or nearly so.")
    unlabelled: float = Field(0.02, ge=0, le=1, description="Share of mails without a label.")
    seed: int = Field(0, ge=0, description="Of the writing; the recipe's seed draws among what is written.")

    def frame(self, quarantine: Quarantine) -> pd.DataFrame:
        """All mails, person by person, in order of time."""
        import pandas as pd

        rows = [row for number in range(self.people) for row in self._mailbox(number)]
        table = pd.DataFrame(rows, dtype=object)
        table[FILE], table[LINE] = "mailboxes", range(1, len(table) + 1)
        return table

    def size(self) -> int:
        """About as many bytes as will be written."""
        return self.people * self.mails * BYTES

    def wanted(self) -> dict[str, frozenset[str]]:
        """By grey topic: the people who call it ham."""
        names = _shuffled([self._name(number) for number in range(self.people)], Random(f"{self.seed}/wanted"))
        count = int(self.concept * self.people / 2 + 0.5)
        turns = (itertools.cycle(names[place * count % self.people :] + names) for place in range(len(words.GREY)))
        return {topic: frozenset(itertools.islice(turn, count)) for topic, turn in zip(words.GREY, turns, strict=True)}

    def spam_share(self, number: int) -> float:
        """The expected share of spam in mailbox ``number``."""
        ranks: list[int] = _shuffled(range(self.people), Random(f"{self.seed}/shares"))
        return MEAN_SPAM + self.label_shift * WIDEST * (ranks[number] / (self.people - 1) - 0.5)

    def _name(self, number: int) -> str:
        names, turn = list(words.PEOPLE), number // len(words.PEOPLE)
        return names[number % len(names)] + (str(turn + 1) if turn else "")

    def _mailbox(self, number: int) -> list[dict[str, Any]]:
        user = self._name(number)
        job = words.PEOPLE[user.rstrip("0123456789")]
        likes = [topic for topic, people in self.wanted().items() if user in people]
        share, streams = self.spam_share(number), self._streams()
        rng = Random(f"{self.seed}/mail/{user}")
        minutes = sorted(rng.randrange(366 * 24 * 60) for _ in range(self.mails))
        rows = []
        for minute in minutes:
            if rng.random() < share:
                dressed = job if self.covariate else None
                mail = {"truth": "spam", **_spam(dressed, [topic for topic in words.GREY if topic not in likes], rng)}
                if rng.random() < self.copies:
                    mail.update(_copy(rng.choice(streams), rng))
            else:
                mail = {"truth": "ham", **_ham(job, likes, self.covariate, rng)}
            label = None if rng.random() < self.unlabelled else mail["truth"]
            sent = (_BEGIN + timedelta(minutes=minute)).isoformat()
            rows.append({"text": mail["text"], "label": label, "user": user, "date": sent,
                         "truth": mail["truth"], "topic": mail["topic"], "copy": mail.get("copy")})  # fmt: skip
        return rows

    def _streams(self) -> list[dict[str, Any]]:
        """The spam that goes to many people: longer mails, so that a changed word leaves a near copy."""
        rng = Random(f"{self.seed}/streams")
        streams = []
        for _ in range(max(2, self.mails // MAILS_A_STREAM)):
            topic = rng.choice(list(words.SPAM))
            sentences = [*words.SPAM[topic], rng.choice(words.SMALL_TALK), rng.choice(words.SMALL_TALK)]
            streams.append({"text": _write(_shuffled(sentences, rng), rng), "topic": topic})
        return streams


def _spam(job: str | None, unwanted: Sequence[str], rng: Random) -> dict[str, Any]:
    """Grey mail that the person does not want, or spam, some dressed up in sentences that one expects to get, those of
    one's ``job`` among them if it is known."""
    if rng.random() < GREY_SHARE * len(unwanted) / len(words.GREY):
        return _grey(rng.choice(unwanted), rng)
    topic = rng.choice(list(words.SPAM))
    expected = (*words.PRIVATE, *words.SERVICE, *(() if job is None else words.JOBS[job]))
    sentences = [*_some(words.SPAM[topic], (1, 1, 2), rng), *_some(expected, (0, 1, 1, 2), rng)]
    return {"text": _mail(sentences, rng), "topic": topic}


def _ham(job: str, likes: Sequence[str], covariate: float, rng: Random) -> dict[str, Any]:
    """Grey mail that the person wants, or mail of work, friends and services; some quotes spam that came in."""
    if rng.random() < GREY_SHARE * len(likes) / len(words.GREY):
        return _grey(rng.choice(likes), rng)
    topic = job if rng.random() < covariate else rng.choice(("private", "service"))
    sentences = {**words.JOBS, "private": words.PRIVATE, "service": words.SERVICE}[topic]
    written = _some(sentences, (1, 2, 2, 3), rng)
    if rng.random() < QUOTED:
        spam = rng.choice(words.SPAM[rng.choice(list(words.SPAM))])
        written.append(f"{rng.choice(words.QUOTING)}: {spam}")
    return {"text": _mail(written, rng), "topic": topic}


def _grey(topic: str, rng: Random) -> dict[str, Any]:
    return {"text": _mail(_some(words.GREY[topic], (1, 2, 2, 3), rng), rng), "topic": topic}


def _copy(stream: dict[str, Any], rng: Random) -> dict[str, Any]:
    """A spam as others got it, or with a reference of its own at the end."""
    if rng.random() < 0.5:
        return {**stream, "copy": "exact"}
    return {**stream, "text": f"{stream['text']} ref {rng.randrange(10**6)}", "copy": "near"}


def _mail(sentences: list[str], rng: Random) -> str:
    """These sentences padded with small talk, in any order."""
    return _write(_shuffled([*sentences, *_some(words.SMALL_TALK, (0, 1, 2), rng)], rng), rng)


def _write(sentences: Sequence[str], rng: Random) -> str:
    """The sentences with their slots filled, greeted and closed."""
    parts = [rng.choice(words.GREETINGS), *sentences, rng.choice(words.CLOSINGS)]
    return ". ".join(_SLOT.sub(lambda slot: rng.choice(_choices(slot[1])), part) for part in parts if part)


def _choices(slot: str) -> Sequence[str]:
    return words.WORDS[slot] if slot in words.WORDS else slot.split("|")


def _some(sentences: Sequence[str], counts: Sequence[int], rng: Random) -> list[str]:
    return rng.sample(sentences, rng.choice(counts))


def _shuffled(items: Sequence[Any], rng: Random) -> list[Any]:
    return rng.sample(items, len(items))
