"""The learning rate by hand."""

import pytest

from nlptl.train.schedule import midway, rate_factor


@pytest.mark.parametrize(
    ("progress", "decay", "expected"),
    [
        (0.05, "linear", 0.5),  # half of the warm-up
        (0.1, "linear", 1.0),
        (0.55, "linear", 0.5),  # half of the rest
        (1.0, "linear", 0.0),
        (0.55, "cosine", 0.5),
        (0.325, "cosine", 0.8535533905932737),  # (1 + cos(π/4)) / 2
        (0.55, "constant", 1.0),
        (1.0, "constant", 1.0),
    ],
)
def test_rises_over_the_warmup_and_falls_over_the_rest(progress: float, decay: str, expected: float) -> None:
    assert rate_factor(progress, warmup=0.1, decay=decay) == pytest.approx(expected)  # type: ignore[arg-type]


def test_without_warmup_it_starts_at_the_peak() -> None:
    assert rate_factor(0.0, warmup=0.0, decay="linear") == 1.0


def test_no_step_is_without_a_rate() -> None:
    of_four = [rate_factor(midway(step, 4), warmup=0.25, decay="linear") for step in range(4)]
    assert of_four == pytest.approx([0.5, 5 / 6, 0.5, 1 / 6])
    assert rate_factor(midway(0, 1), warmup=0.1, decay="linear") == pytest.approx(5 / 9)
