"""Which pixels a network doubts, and what patches cost it."""

import numpy as np
import pytest

from firefusion_assets.inpainting.selection import Painted, noisy


def painted(seed: int, n: int = 60) -> Painted:
    rng = np.random.default_rng(seed)
    fire = rng.random(n) < 0.3
    return Painted((rng.exponential(np.where(fire, 2.0, 0.1))).astype(np.float32), fire)


def test_pixels_that_cost_more_than_a_quarter_above_their_classs_mean_are_doubted() -> None:
    some = [painted(seed) for seed in range(5)]
    costs = [(cost, fire) for one in some for cost, fire in zip(one.losses, one.fire, strict=True)]
    means = {of: np.mean([cost for cost, fire in costs if fire == of]) for of in (True, False)}
    expected = [[c > 1.25 * means[bool(f)] for c, f in zip(one.losses, one.fire, strict=True)] for one in some]
    assert [found.tolist() for found in noisy(some)] == expected
    assert noisy([]) == []


def test_the_error_counts_both_classes_alike() -> None:
    one = painted(1)
    fire = [cost for cost, burns in zip(one.losses, one.fire, strict=True) if burns]
    ground = [cost for cost, burns in zip(one.losses, one.fire, strict=True) if not burns]
    assert one.error == pytest.approx((np.mean(fire) + np.mean(ground)) / 2)
    assert one._replace(fire=np.ones_like(one.fire)).error == pytest.approx(one.losses.mean())
