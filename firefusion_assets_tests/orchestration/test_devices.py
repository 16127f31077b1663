"""Several configs by one command keep several devices busy, and share none of them."""

from pathlib import Path

import pytest

from firefusion_assets_tests.builders.waiting_engine import fits_on_two_devices


@pytest.mark.faults
def test_two_gpu_steps_run_at_once_each_on_a_device_of_its_own(tmp_path: Path) -> None:
    # Each ends once both have begun; where one waits for the other they take all of their time.
    one, other = fits_on_two_devices(tmp_path, n_keys=2, seconds=120, meets=2)
    assert one.began < other.ended and other.began < one.ended
    assert {one.device, other.device} == {0, 1}
