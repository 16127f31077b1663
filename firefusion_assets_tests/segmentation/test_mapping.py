"""Mapping whole rasters: what windows predict, blended, equals a plain computation over arrays."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from firefusion_assets.segmentation.batches import Normalisation
from firefusion_assets.segmentation.mapping import MappedLines, Network, map_lines, prepared
from firefusion_assets.segmentation.networks import build_network
from firefusion_assets.study.models import Training

WINDOW, OVERLAP = 32, 4
NORMALISATION = Normalisation(bands=("B7", "B6"), mean=(9000.0, 8000.0), std=(900.0, 700.0))


class Raster:
    """A raster in memory that notes which lines are read."""

    def __init__(self, dn: npt.NDArray[np.uint16]) -> None:
        self.dn, (_, self.height, self.width) = dn, dn.shape
        self.most_lines = 0

    def read(self, first: int, stop: int) -> npt.NDArray[np.uint16]:
        assert 0 <= first < stop <= self.height
        self.most_lines = max(self.most_lines, stop - first)
        return self.dn[:, first:stop].copy()


def network(seed: int) -> Network:
    """A network that sees its neighbours and its window's borders."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 3, 5, padding=2), nn.Tanh(), nn.Conv2d(3, 1, 3, padding=1)).eval(), NORMALISATION


def ground(height: int, width: int, seed: int = 1) -> npt.NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(6000, 12000, (2, height, width)).astype(np.uint16)


def mapped(networks: list[Network], dn: npt.NDArray[np.uint16]) -> MappedLines:
    parts = list(map_lines(networks, Raster(dn), WINDOW))
    assert [part.first for part in parts] == list(np.cumsum([0, *(len(part.probability) for part in parts)])[:-1])
    return MappedLines(
        0, np.concatenate([part.probability for part in parts]), np.concatenate([part.spread for part in parts])
    )


def predicted(one: Network, window: npt.NDArray[np.uint16]) -> npt.NDArray[np.float64]:
    """What a network says of a single patch, computed plainly."""
    net, constants = one
    scaled = (window.astype(np.float32) - np.reshape(constants.mean, (-1, 1, 1))) / np.reshape(
        constants.std, (-1, 1, 1)
    )
    scaled = np.where((window > 0).any(0), scaled, 0).astype(np.float32)
    with torch.no_grad():
        return torch.sigmoid(net(torch.from_numpy(scaled)[None]))[0, 0].double().numpy()


def oracle(networks: list[Network], dn: npt.NDArray[np.uint16]) -> tuple[npt.NDArray[np.float64], ...]:
    """The mean and standard deviation of all predictions of a pixel, each weighted by its place in its window."""
    _, height, width = dn.shape
    padded = np.zeros((2, max(height, WINDOW), max(width, WINDOW)), np.uint16)
    padded[:, :height, :width] = dn
    weights, values = [], []
    for top in starts(height):
        for left in starts(width):
            window = padded[:, top : top + WINDOW, left : left + WINDOW]
            distance = np.minimum(np.arange(WINDOW), np.arange(WINDOW)[::-1]) + 1
            along = np.minimum(distance / (OVERLAP + 1), 1)
            for one in networks:
                weight, value = np.zeros((2, *padded.shape[1:]))
                weight[top : top + WINDOW, left : left + WINDOW] = np.outer(along, along)
                value[top : top + WINDOW, left : left + WINDOW] = predicted(one, window)
                weights.append(weight)
                values.append(value)
    mean = np.average(values, axis=0, weights=weights)
    spread = np.sqrt(np.average((np.array(values) - mean) ** 2, axis=0, weights=weights))
    fill = (padded == 0).all(0)
    return tuple(np.where(fill, np.nan, figure)[:height, :width] for figure in (mean, spread))


def starts(length: int) -> list[int]:
    found = [0]
    while found[-1] + WINDOW < length:
        found.append(min(found[-1] + WINDOW - OVERLAP, length - WINDOW))
    return found


@settings(max_examples=25)
@given(st.integers(1, 110), st.integers(1, 110), st.integers(0, 5), st.integers(1, 3))
def test_a_map_is_the_weighted_mean_of_all_windows(height: int, width: int, edge: int, networks: int) -> None:
    dn = ground(height, width)
    dn[:, :, max(0, width - edge * 10) :] = 0  # fill, whole windows of it too
    several = [network(seed) for seed in range(networks)]
    probability, spread = oracle(several, dn)
    _, found, found_spread = mapped(several, dn)
    np.testing.assert_allclose(found, probability, atol=2e-6)
    np.testing.assert_allclose(found_spread, spread, atol=2e-3)  # a difference of squares in float32


def test_between_the_overlaps_a_map_equals_the_prediction_of_the_patch() -> None:
    dn = ground(5 * (WINDOW - OVERLAP) + OVERLAP, 3 * (WINDOW - OVERLAP) + OVERLAP)
    one = network(7)
    _, found, spread = mapped([one], dn)
    inner = slice(OVERLAP, WINDOW - OVERLAP)
    for top in range(0, dn.shape[1] - WINDOW + 1, WINDOW - OVERLAP):
        for left in range(0, dn.shape[2] - WINDOW + 1, WINDOW - OVERLAP):
            place = slice(top, top + WINDOW), slice(left, left + WINDOW)
            expected = predicted(one, dn[:, place[0], place[1]])
            np.testing.assert_allclose(found[place][inner, inner], expected[inner, inner], atol=2e-6)
            assert np.all(spread[place][inner, inner] < 2e-3)


@pytest.mark.parametrize("architecture", ["unet", "smp-unet"])
def test_a_prepared_network_predicts_the_same(architecture: str) -> None:
    if architecture.startswith("smp"):
        pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(3)
    recipe = Training.model_validate({"bands": ["B7", "B6"], "filters": 4, "architecture": architecture})
    network = build_network(recipe)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    faster, x = prepared(network.eval()), torch.randn(2, 2, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(faster(x), network(x), atol=1e-4, rtol=1e-4)


def test_a_raster_of_one_patch_is_predicted_as_the_patch_is() -> None:
    dn = ground(WINDOW, WINDOW)
    np.testing.assert_allclose(mapped([network(3)], dn).probability, predicted(network(3), dn), atol=2e-6)


def test_fill_has_no_probability() -> None:
    dn = ground(40, 40)
    dn[:, 10:20, 5:30] = 0
    _, probability, spread = mapped([network(1)], dn)
    assert np.array_equal(np.isnan(probability), (dn == 0).all(0))
    assert np.array_equal(np.isnan(spread), (dn == 0).all(0))


@pytest.mark.parametrize("height", [17, 200])
def test_lines_are_read_a_window_at_a_time(height: int) -> None:
    raster = Raster(ground(height, 40))
    assert sum(len(part.probability) for part in map_lines([network(1)], raster, WINDOW)) == height
    assert raster.most_lines <= WINDOW
