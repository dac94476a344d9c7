"""Words that move and words that flip: the maths by hand, and made corpora in which both are known."""

import numpy as np
import pytest

from nlptl.contracts.diagnose import View
from nlptl.diagnose import Senses
from nlptl.diagnose._pulls import difference_p, drift, log_odds_ratios, moved, shrunk
from nlptl.diagnose.senses import UNKNOWN, around
from nlptl.encoder.spans import words_of

PLAIN = [f"{a}{b}" for a in ("ba", "do", "ki", "lu", "me") for b in ("rat", "sen", "tol", "vim", "wex", "zon")]


def corpus(seed: int, *, flips: tuple[str, ...] = (), moves: tuple[str, ...] = (), rows: int = 400) -> View:
    """Texts of PLAIN words, some of which say the label: the first six for it, the last six against it. In the target
    ``flips`` say the opposite, and the vectors of ``moves`` stand elsewhere; all vectors drift alike."""
    rng = np.random.default_rng(seed)
    texts, labels, domain = [], [], np.repeat(["old", "new"], rows)
    words: dict[str, tuple[list[int], list[np.ndarray]]] = {word: ([], []) for word in PLAIN}
    meanings = dict(zip(PLAIN, rng.normal(size=(len(PLAIN), 8)), strict=True))
    common = 2 * rng.normal(size=8)
    for row, side in enumerate(domain):
        label = int(rng.random() < (0.5 if side == "old" else 0.65))
        weights = np.ones(len(PLAIN))
        for word, towards in [*((w, 1) for w in PLAIN[:6]), *((w, 0) for w in PLAIN[-6:])]:
            turned = word in flips and side == "new"
            weights[PLAIN.index(word)] = 2.5 if (towards == label) != turned else 0.4
        has = rng.choice(PLAIN, size=8, p=weights / weights.sum())
        texts.append(" ".join(has))
        labels.append(label)
        for word in sorted(set(has)):
            words[word][0].append(row)
            away = 1.5 * (word in moves) + common if side == "new" else 0.0
            words[word][1].append(meanings[word] + away + rng.normal(size=8))
    found = {word: (np.array(places), np.stack(vectors)) for word, (places, vectors) in words.items()}
    return View(labels=np.array(labels), domain=domain, target="new", texts=np.array(texts, object), words=found,
                label_names=("no", "yes"))  # fmt: skip


def test_odds_ratios_by_hand() -> None:
    # word in 3 of 4 texts with the label and 1 of 4 without: a=3.5, b=1.5, c=1.5, d=3.5
    present = np.array([[1], [1], [1], [0], [1], [0], [0], [0]], dtype=bool)
    theta, error = log_odds_ratios(present, np.arange(8) < 4)
    assert theta == pytest.approx([np.log(3.5 * 3.5 / (1.5 * 1.5))])
    assert error == pytest.approx([np.sqrt(2 / 3.5 + 2 / 1.5)])
    assert difference_p(np.array([1.96]), np.array([0.6]), np.array([0.0]), np.array([0.8])) == pytest.approx(
        0.05, abs=1e-3
    )
    # τ² = (4 + 0 − 1 − 1) / 2 = 1: half of what is seen is believed.
    assert shrunk(np.array([2.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx([1.0, 0.0])
    to = [1.0, 3.0, 90.0]
    assert drift([(np.zeros((2, 1)), np.full((3, 1), x)) for x in to]) == pytest.approx([3.0])


def test_moving_words_are_tested_soundly() -> None:
    rng = np.random.default_rng(0)
    still = [moved(*rng.normal(size=(2, 12, 5)), draws=199, rng=rng)[1] for _ in range(200)]
    assert 1 <= sum(p <= 0.05 for p in still) <= 20  # 10 expected
    effect, p = moved(rng.normal(size=(200, 5)), rng.normal(size=(200, 5)) + 2, draws=199, rng=rng)
    assert effect == pytest.approx(4.0, rel=0.15) and p < 1e-12  # 5 · 2² over a variance of 5
    assert moved(np.ones((3, 2)), np.ones((4, 2)), draws=99, rng=rng) == (0.0, 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_exactly_the_made_words_are_found(seed: int) -> None:
    flips, moves = (PLAIN[1], PLAIN[-2]), (PLAIN[9], PLAIN[14], PLAIN[3])
    found = Senses(seed=seed).measure(corpus(seed, flips=flips, moves=moves, rows=800))
    assert {row["word"] for row in found["flipped"]} == set(flips)
    assert {row["word"] for row in found["moved"]} == set(moves)
    assert found["looked_at"] == {"moved": len(PLAIN), "flipped": len(PLAIN)}
    first = next(row for row in found["flipped"] if row["word"] == PLAIN[1])
    assert first["label"] == "yes" and first["pull_sources"] > 0.5 and first["pull_target"] < -0.5
    assert len(first["target"]) == 2 and all(PLAIN[1] in text for text in first["target"])


@pytest.mark.parametrize("seed", range(10, 16))
def test_nothing_is_found_where_nothing_changed(seed: int) -> None:
    found = Senses(seed=seed).measure(corpus(seed))
    assert found["flipped"] == [] and found["moved"] == []


def test_without_labels_of_the_target_flips_cannot_be_known() -> None:
    view = corpus(0)
    hidden = np.where(view.domain == "new", -1, view.labels)
    found = Senses().measure(View(labels=hidden, domain=view.domain, target="new", texts=view.texts))
    assert found == {"moved": [], "flipped": {"unknown": UNKNOWN}, "looked_at": {"moved": 0, "flipped": 0}}


def test_three_labels_are_looked_at_one_by_one() -> None:
    view = corpus(1, flips=(PLAIN[1],), rows=800)
    labels = np.where(np.arange(len(view.labels)) % 3 == 0, 2, view.labels)
    found = Senses().measure(View(labels=labels, domain=view.domain, target="new", texts=view.texts))
    assert {(row["word"], row["label"]) for row in found["flipped"]} <= {(PLAIN[1], 0), (PLAIN[1], 1)}
    assert found["flipped"]


def test_words_and_their_surroundings() -> None:
    text = "Don't  stop:\nthe LIGHT, 2 kg light."
    assert [text[a:b].lower() for _, a, b in words_of(text)] == [word for word, _, _ in words_of(text)]
    assert [word for word, _, _ in words_of(text)] == ["don't", "stop", "the", "light", "kg", "light"]
    assert around(text, "light") == "Don't stop: the LIGHT, 2 kg light."
    long = "x " * 60 + "light" + " y" * 60
    assert around(long, "light").startswith("…") and around(long, "light").endswith("…")
    assert len(around(long, "light")) == 107
