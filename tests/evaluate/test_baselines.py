import numpy as np
import pytest
from made_predictions import SPAM, TAGS
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from nlptl.contracts import Head, Task
from nlptl.evaluate import baselines
from nlptl.evaluate.baselines import BASELINES, STRENGTHS, fit_baselines

WORDS = {"ham": ["meeting", "report", "gas", "contract"], "spam": ["win", "cash", "prize", "click"]}


def mail(labels: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Texts of six words, three quarters of them from the label's own."""
    names = list(WORDS)
    return [
        " ".join(rng.choice(WORDS[names[label if rng.random() < 0.75 else 1 - label]]) for _ in range(6))
        for label in labels
    ]


def halves(rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    places = np.arange(rows)
    return [(places[places % 2 == part], places[places % 2 != part]) for part in (0, 1)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def spam(rng):
    labels = rng.integers(2, size=120)
    return mail(labels, rng), rng.normal(size=(120, 5)) + labels[:, None] * 1.2, labels


def test_all_three_answer_with_probabilities_and_the_learned_ones_beat_majority(spam) -> None:
    texts, features, labels = spam
    fitted = fit_baselines(SPAM, texts=texts[:80], features=features[:80], labels=labels[:80], folds=halves(80), seed=0)
    assert tuple(fitted) == tuple(name for name in BASELINES if name != "cosine")  # that one needs named labels
    right = {}
    for name, baseline in fitted.items():
        probabilities = baseline.predict(texts[80:], features[80:])
        assert probabilities.shape == (40, 2)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        right[name] = (probabilities.argmax(axis=1) == labels[80:]).mean()
    assert min(right["tfidf"], right["probe"]) > 0.7 > right["majority"]
    np.testing.assert_allclose(fitted["majority"].predict(["a"], features[:1])[0, 1], labels[:80].mean())


def test_strength_is_the_one_with_the_lowest_log_loss_on_the_folds(spam) -> None:
    """An independent and slower path: whole vectorisers and regressions a fold, as anyone would write them."""
    texts, features, labels = spam
    folds = halves(120)
    losses = {"tfidf": [], "probe": []}
    scale = np.sqrt((features**2).sum(axis=1).mean())
    for strength in STRENGTHS:
        loss = {"tfidf": 0.0, "probe": 0.0}
        for teach, check in folds:
            words = TfidfVectorizer(sublinear_tf=True, min_df=2)
            of_words = [words.fit_transform([texts[i] for i in teach]), words.transform([texts[i] for i in check])]
            for name, (taught, checked) in {
                "tfidf": of_words,
                "probe": (features[teach] / scale, features[check] / scale),
            }.items():
                model = LogisticRegression(C=strength, max_iter=5000).fit(taught, labels[teach])
                given = model.predict_proba(checked)[np.arange(len(check)), labels[check]]
                loss[name] -= np.log(np.maximum(given, 1e-12)).sum()
        for name, value in loss.items():
            losses[name].append(value)
    fitted = fit_baselines(SPAM, texts=texts, features=features, labels=labels, folds=folds, seed=0)
    for name, values in losses.items():
        assert fitted[name].strengths == (STRENGTHS[int(np.argmin(values))],)
        assert 0 < np.argmin(values) < len(STRENGTHS) - 1  # else the grid is too short here for the test to tell


def test_a_label_that_never_teaches_has_probability_0_and_the_order_stays(rng) -> None:
    task = Task("topic", Head(kind="linear"), ("spam", "never", "ham"))
    labels = rng.integers(2, size=60)
    texts, features = mail(labels, rng), rng.normal(size=(60, 3)) + labels[:, None]
    encoded = np.where(labels == 1, 0, 2)
    fitted = fit_baselines(task, texts=texts, features=features, labels=encoded, folds=halves(60), seed=0)
    for name, baseline in fitted.items():
        probabilities = baseline.predict(texts, features)
        assert (probabilities[:, 1] == 0).all(), name
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (fitted["tfidf"].predict(texts, features).argmax(axis=1) == encoded).mean() > 0.8


def test_one_label_alone_is_answered_always_also_within_a_fold(rng) -> None:
    texts, features = ["a b", "b c", "a c", "c d"] * 3, rng.normal(size=(12, 2))
    alone = fit_baselines(SPAM, texts=texts, features=features, labels=np.ones(12, int), folds=halves(12), seed=0)
    np.testing.assert_array_equal(alone["probe"].predict(texts, features), [[0, 1]] * 12)
    in_one_fold = np.arange(12) % 2  # halves() then teaches on one label and checks on the other
    fitted = fit_baselines(SPAM, texts=texts, features=features, labels=in_one_fold, folds=halves(12), seed=0)
    assert np.isfinite(fitted["tfidf"].predict(texts, features)).all()


def test_unlabelled_rows_teach_nothing_and_folds_follow(spam, rng) -> None:
    texts, features, labels = spam
    fitted = fit_baselines(SPAM, texts=texts, features=features, labels=labels, folds=halves(120), seed=0)
    mixed = [text for pair in zip(texts, ["win win meeting"] * 120, strict=True) for text in pair]
    wide = np.repeat(features, 2, axis=0)
    encoded = np.stack([labels, np.full(120, -1)], axis=1).ravel()
    folds = [(np.repeat(teach * 2, 2) + [0, 1] * len(teach), check * 2) for teach, check in halves(120)]
    again = fit_baselines(SPAM, texts=mixed, features=wide, labels=encoded, folds=folds, seed=0)
    for name, baseline in fitted.items():
        np.testing.assert_allclose(
            again[name].predict(texts, features), baseline.predict(texts, features), err_msg=name
        )


def test_multilabel_has_one_regression_a_label(rng) -> None:
    labels = rng.integers(2, size=(90, 3)).astype(np.float32)
    texts = [" ".join(w for w, on in zip(("gas", "oil", "win"), row, strict=True) if on) or "none" for row in labels]
    labels[5] = np.nan
    fitted = fit_baselines(TAGS, texts=texts, features=labels.copy() * 0 + 1, labels=labels, folds=halves(90), seed=0)
    probabilities = fitted["tfidf"].predict(["gas win", "oil"], np.ones((2, 3)))
    np.testing.assert_array_equal(probabilities >= 0.5, [[True, False, True], [False, True, False]])
    assert len(fitted["tfidf"].strengths) == 3
    taught = np.delete(labels, 5, axis=0)
    np.testing.assert_allclose(fitted["majority"].predict(["gas"], np.ones((1, 3)))[0], taught.mean(axis=0), rtol=1e-6)


def test_texts_without_words_leave_tfidf_with_the_label_shares(rng) -> None:
    fitted = fit_baselines(
        SPAM,
        texts=["!", "?"] * 5,
        features=rng.normal(size=(10, 2)),
        labels=np.arange(10) // 5,
        folds=halves(10),
        seed=0,
    )
    np.testing.assert_array_equal(fitted["tfidf"].predict(["win"], np.ones((1, 2))), [[0.5, 0.5]])


def test_words_of_one_text_count_only_where_no_word_is_in_two(rng) -> None:
    fitted = fit_baselines(
        SPAM, texts=["gas", "cash", "oil", "prize"], features=rng.normal(size=(4, 2)), labels=np.array([0, 1, 0, 1]),
        folds=[(np.array([0, 1]), np.array([2, 3])), (np.array([2, 3]), np.array([0, 1]))], seed=0,
    )  # fmt: skip
    assert np.isfinite(fitted["tfidf"].predict(["gas", "unheard"], np.ones((2, 2)))).all()


def test_a_solver_that_stops_too_early_is_never_silent(spam, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.exceptions import ConvergenceWarning

    texts, features, labels = spam
    monkeypatch.setattr(baselines, "MAX_ITERATIONS", 1)
    with pytest.warns(ConvergenceWarning):
        fit_baselines(SPAM, texts=texts, features=features, labels=labels, folds=halves(120), seed=0)
