"""Self-training: a student of the surest answers helps where texts separate, and keeps still where they do not."""

import numpy as np
import pytest

from nlptl.heads._names import NameScores, directions, refined
from nlptl.heads._student import FEWEST, HEAVIEST, LEVEL, self_trained, student, surest


def texts(rng: np.random.Generator, apart: float, rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, one label in seven, ``apart`` along axis 0; along axis 1 the names hint at them."""
    classes = (rng.random(rows) < 1 / 7).astype(np.int64)
    vectors = rng.normal(size=(rows, 8)) * 0.5
    vectors[:, 0] += apart * (2 * classes - 1)
    vectors[:, 1] += 0.25 * (2 * classes - 1)
    return vectors, classes


NAMES = directions(np.array([[-0.3, -1.0, 0, 0, 0, 0, 0, 0], [0.3, 1.0, 0, 0, 0, 0, 0, 0]]))


def test_the_surest_fifth_of_each_label_teaches() -> None:
    scores = np.zeros((100, 3))
    scores[:50, 0] = np.arange(1, 51)  # label 0 wins 50 rows: the surest are its last ten
    scores[50:97, 1] = np.arange(1, 48)
    scores[97:, 2] = [3, 1, 2]
    rows, labels = surest(scores)
    assert rows.tolist() == [*range(49, 39, -1), *range(96, 86, -1), 97, 99, 98]
    assert labels.tolist() == [0] * 10 + [1] * 10 + [2] * 3 and FEWEST > 3


def test_the_student_is_logistic_regression_on_the_surest_rows() -> None:
    from sklearn.linear_model import LogisticRegression

    from nlptl.heads._names import unit
    from nlptl.heads._scaling import Scaling

    vectors, _ = texts(np.random.default_rng(0), 1.0)
    names = refined(NAMES, vectors, rounds=0)
    found = student(vectors, names, rounds=1)
    assert found is not None
    rows, labels = surest(names(vectors))
    x = Scaling.of(unit(vectors))(unit(vectors))
    # Two labels: the softmax's penalty λ/2 (‖w₀‖² + ‖w₁‖²) is λ/4 of the difference's square: C = 2 / λ.
    expected = LogisticRegression(C=20, tol=1e-10, max_iter=1000).fit(x[rows], labels).decision_function(x)
    scores = found(vectors)
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], expected, atol=2e-3)


def test_texts_that_separate_teach_what_names_only_hint_at() -> None:
    vectors, classes = texts(np.random.default_rng(1), 1.2)
    names = refined(NAMES, vectors, rounds=0)
    voted = self_trained(vectors, names, rounds=3)
    before, after = ((scores(vectors).argmax(1) == classes).mean() for scores in (names, voted.scores))
    assert before < 0.9 and after > 0.97
    assert voted.agreement > 0.98 and LEVEL < voted.weight <= HEAVIEST


def test_texts_that_do_not_separate_leave_the_names_their_say() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(300, 60))
    names = refined(directions(rng.normal(size=(2, 60))), noise, rounds=0)
    voted = self_trained(noise, names, rounds=3)
    assert voted.agreement < 0.8 and voted.weight < 0.1
    assert (voted.scores(noise).argmax(1) == names(noise).argmax(1)).mean() > 0.9


def test_a_label_that_no_text_has_stops_it() -> None:
    vectors, _ = texts(np.random.default_rng(3), 1.0)
    names = NameScores(np.zeros((8, 2)), np.array([1.0, 0.0]))
    assert student(vectors, names, rounds=3) is None
    assert self_trained(vectors, names, rounds=3).scores is names


def test_the_weight_is_level_over_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([np.eye(2)[[0] * 50 + [1] * 50], np.eye(2)[[0] * 45 + [1] * 55]])
    whole = NameScores(np.eye(2), np.zeros(2))

    class Fixed(NameScores):
        def __call__(self, texts: np.ndarray) -> np.ndarray:
            return next(answers)

    students = iter([whole, *[Fixed(np.eye(2), np.zeros(2))] * 2])
    monkeypatch.setattr("nlptl.heads._student.student", lambda *a, **b: next(students))
    vectors = np.random.default_rng(4).normal(size=(100, 2))
    voted = self_trained(vectors, whole, rounds=1)
    assert (voted.agreement, voted.weight) == pytest.approx((0.95, LEVEL / 0.05))
