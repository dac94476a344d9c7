import torch

from nlptl.heads._mix import LayerMix
from nlptl.heads._reading import every_layer, mixed_layers


def test_a_mix_starts_as_the_mean_and_follows_its_scores() -> None:
    layers = torch.arange(24.0).view(2, 3, 4)  # rows, layers, width
    mix = LayerMix(3)
    torch.testing.assert_close(mix(layers.flatten(1)), layers.mean(1))
    with torch.no_grad():
        mix.scores.copy_(torch.tensor([2.0, 0.0, 2.0]).log())
        mix.scale.fill_(10.0)
    torch.testing.assert_close(mix(layers.flatten(1)), 10 * (layers[:, 0] + layers[:, 2]) / 2)


def test_a_reading_of_every_layer_is_a_mix() -> None:
    assert every_layer(2) == ("layer.0", "layer.1", "layer.2")
    assert mixed_layers("+".join(every_layer(2))) == 3
    assert mixed_layers("last+layers") == mixed_layers("layer.1") == 0
