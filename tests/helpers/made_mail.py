"""A small made table of mail, for tests that need rows rather than rich text."""

import numpy as np
import pandas as pd

HAM = ("the meeting is on monday", "please find the report", "gas contract for the company", "love from my people")
SPAM = ("win a cash prize", "free cash click now", "you can win a part", "click to get your prize free")
FILLER = [
    "time",
    "look",
    "more",
    "write",
    "see",
    "way",
    "could",
    "people",
    "than",
    "first",
    "water",
    "long",
    "down",
    "day",
    "come",
]


def mail(rows: int = 40, people: tuple[str, ...] = ("ann", "bob", "cy", "dee"), seed: int = 0) -> pd.DataFrame:
    """``rows`` mails a person: text, label, user, topic (a second label), date."""
    rng = np.random.default_rng(seed)
    table = []
    for person in people:
        for place in range(rows):
            spam = rng.random() < 0.4
            words = " ".join(rng.choice(FILLER, size=rng.integers(2, 9)))
            table.append(
                {
                    "text": f"{rng.choice(SPAM if spam else HAM)} {words} {place}",
                    "label": "spam" if spam else "ham",
                    "user": person,
                    "topic": ("work", "home", "shop")[place % 3],
                    "date": f"2024-01-{1 + place % 28:02d}",
                }
            )
    return pd.DataFrame(table)
