"""A text's words, as the leak guard compares them."""

import string
import unicodedata

import numpy as np
import numpy.typing as npt

SHINGLE = 3
"""Words in a row whose sets are compared for near copies."""

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts that put no space between words: each character counts as one."""


class _Table(dict[int, str]):
    """What ``str.translate`` puts for a character, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cf":  # soft hyphens and zero-width characters, which hide words from filters
            put = ""
        elif category[0] in "PZ" or category == "Cc" or character in string.punctuation:
            put = " "
        elif category[0] == "S" or unicodedata.name(character, "").startswith(_UNSPACED):
            put = f" {character} "
        else:
            put = character
        self[code] = put
        return put


_TABLE = _Table()


def normalise(text: str) -> str:
    """``text`` without what copies differ in: case, spacing, punctuation, compatible forms of characters (NFKC).

    Marks, emoji and other symbols stay: they tell words and feelings apart. So does all of a text without any word,
    such as ``!!!``, but for its spacing.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_TABLE).split()) or " ".join(folded.split())


def compared_by(text: str, pair: str | None) -> str:
    """What a row is compared by: its normalised text, or both of a pair."""
    return normalise(text) if pair is None else f"{normalise(text)}\n{normalise(pair)}"


def shingles(normalised: str) -> npt.NDArray[np.uint32]:
    """Sorted hashes of the set of a text's ``SHINGLE`` words in a row; of a shorter text, of the whole."""
    import xxhash

    words = normalised.split()
    runs = (" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1)))
    hashes = (xxhash.xxh32_intdigest(run.encode("utf-8", "surrogatepass")) for run in runs)
    return np.unique(np.fromiter(hashes, dtype=np.uint32))
