"""The four operations of easy data augmentation, and the lists of synonyms that two of them draw from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from nlptl.errors import DataError

OURS = Path(__file__).parent / "synonyms.txt"

Synonyms = Mapping[str, tuple[str, ...]]


def changed(
    operation: str, words: Sequence[str], strength: float, synonyms: Synonyms, rng: np.random.Generator
) -> list[str]:
    """``words`` after one operation (Wei & Zou 2019, arXiv 1901.11196, §2), as they were where nothing can be done.

    ``replace``, ``insert`` and ``swap`` act ``n = max(1, round(strength · words))`` times, or on as many words as have
    synonyms; ``delete`` leaves each word out at a chance of ``strength``, never all.
    """
    times = max(1, round(strength * len(words)))
    if operation == "replace":
        return _replaced(words, times, synonyms, rng)
    if operation == "insert":
        return _inserted(words, times, synonyms, rng)
    if operation == "swap":
        return _swapped(words, times, rng)
    return _deleted(words, strength, rng)


def _replaced(words: Sequence[str], times: int, synonyms: Synonyms, rng: np.random.Generator) -> list[str]:
    found, known = list(words), _known(words, synonyms)
    for place in rng.permutation(known)[:times]:
        before, core, after = _parted(found[place])
        found[place] = before + _cased(_one(synonyms[core.lower()], rng), core) + after
    return found


def _inserted(words: Sequence[str], times: int, synonyms: Synonyms, rng: np.random.Generator) -> list[str]:
    found, known = list(words), _known(words, synonyms)
    for _ in range(times if known else 0):
        core = _parted(words[known[int(rng.integers(len(known)))]])[1]
        found.insert(int(rng.integers(len(found) + 1)), _one(synonyms[core.lower()], rng))
    return found


def _swapped(words: Sequence[str], times: int, rng: np.random.Generator) -> list[str]:
    found = list(words)
    for _ in range(times if len(words) > 1 else 0):
        first, second = rng.choice(len(found), 2, replace=False)
        found[first], found[second] = found[second], found[first]
    return found


def _deleted(words: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    left = [word for word, drawn in zip(words, rng.random(len(words)), strict=True) if drawn >= share]
    return left or [words[int(rng.integers(len(words)))]] if words else []


def _known(words: Sequence[str], synonyms: Synonyms) -> list[int]:
    return [place for place, word in enumerate(words) if _parted(word)[1].lower() in synonyms]


def _parted(word: str) -> tuple[str, str, str]:
    """A word without the punctuation around it, and that."""
    core = word.strip("""!"'()*,-./:;<>?[]_`{}~“”‘’…""")
    start = word.find(core) if core else 0
    return word[:start], core, word[start + len(core) :]


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


@cache
def read_synonyms(path: str | None) -> dict[str, tuple[str, ...]]:
    """By lowercase word, the others of its groups; ``path`` None: the list of common English words that is ours.

    Raises:
        DataError: the file cannot be read, or a line of it holds one word only.
    """
    source = OURS if path is None else Path(path)
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"augment.synonyms: {source} cannot be read ({error}); name a text file with one group of words a line."
        ) from error
    found: dict[str, dict[str, None]] = {}
    for number, line in enumerate(lines, 1):
        group = [word.strip().lower() for word in line.partition("#")[0].split(",") if word.strip()]
        if len(group) == 1:
            raise DataError(f"augment.synonyms: {source}, line {number}: {group[0]!r} stands alone; commas part words.")
        for word in group:
            found.setdefault(word, {}).update({other: None for other in group if other != word})
    return {word: tuple(others) for word, others in found.items()}
