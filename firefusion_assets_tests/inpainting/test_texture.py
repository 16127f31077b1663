"""Textures tell events of another colour or roughness apart, and don't tell events of one kind apart."""

import numpy as np
import numpy.typing as npt
import pytest

from firefusion_assets.inpainting.texture import TextureDistance, texture, texture_distance

Event = tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]


def events(n: int, seed: int, gain: float = 1.0, rough: float = 0.3, side: int = 6) -> list[Event]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        logs = 9 + 0.05 * rng.standard_normal((3, 24, 24))
        label = np.zeros((24, 24), bool)
        y, x = rng.integers(2, 14, 2)
        label[y : y + side, x : x + side] = True
        shape = (3, int(label.sum()))
        logs[:, label] += gain + 0.2 * rng.standard_normal((3, 1)) + rough * rng.standard_normal(shape)
        found.append((np.exp(logs).astype(np.uint16), label))
    return found


def distance(painted: list[Event], real: list[Event]) -> TextureDistance:
    found = texture_distance(painted, real)
    assert found is not None
    return found


def test_events_of_one_kind_are_at_no_distance() -> None:
    covered = [(one := distance(events(30, seed), events(25, 1000 + seed))).low <= 0 <= one.high for seed in range(40)]
    assert np.mean(covered) > 0.8
    means = [distance(events(30, seed), events(25, 1000 + seed)).distance for seed in range(40)]
    assert abs(np.mean(means)) < 3 * np.std(means) / np.sqrt(len(means)) + 0.05


@pytest.mark.parametrize("change", [{"gain": 2.0}, {"rough": 0.9}, {"rough": 0.02}])
def test_another_colour_or_roughness_is_told(change: dict[str, float]) -> None:
    other = distance(events(30, 1, **change), events(25, 2))
    same = distance(events(30, 3), events(25, 2))
    assert other.low > 0 and other.distance > 5 * abs(same.distance)


def test_the_distance_is_that_of_its_definition() -> None:
    painted, real = events(7, 1, gain=1.3), events(6, 2)
    x, y = (np.array([texture(*event) for event in some]) for some in (painted, real))
    x, y = (x - y.mean(0)) / y.std(0), (y - y.mean(0)) / y.std(0)

    def kernel(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    within = [
        np.mean([kernel(some[i], some[j]) for i in range(len(some)) for j in range(len(some)) if i != j])
        for some in (x, y)
    ]
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert distance(painted, real).distance == pytest.approx(sum(within) - 2 * across)


def test_small_events_and_few_are_not_compared() -> None:
    assert texture_distance(events(30, 1, side=2), events(30, 2)) is None
    assert texture_distance(events(4, 1), events(30, 2)) is None
    bands, label = events(1, 1)[0]
    assert texture(bands, label | True) is None, "no ground"
    dots = np.zeros_like(label)
    dots[::4, ::4] = True
    assert texture(bands, dots) is None, "no two pixels side by side"
