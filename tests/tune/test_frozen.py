from tiny_bodies import holding, tiny_body

from nlptl.tune import Frozen


def test_frozen_learns_nothing_and_says_so() -> None:
    tuned = Frozen().apply(holding(tiny_body("bert")))
    parameters = list(tuned.body.parameters())
    assert parameters and not any(parameter.requires_grad for parameter in parameters)
    assert not Frozen().learns
