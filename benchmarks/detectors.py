"""Time and memory of the three fire detectors on a tile full of candidates, against a loop over the candidates."""

import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from firefusion_assets.landsat.detectors import SINGLE_DETECTORS, detect
from firefusion_assets_tests.builders import plain_detectors as plain
from firefusion_assets_tests.builders.memory import watched_rss_anon

_SIZE = 2048
_SUN = 50.0
_MEASURED = 1000
_RUNS = 7


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield CPU seconds of all three detectors and of the plain loop, and the peak RssAnon in MiB of both.

    The loop takes each candidate of the two detectors that look at windows, as their rules are written (pixels that
    other rules already found are candidates too). It is measured on an even spread of candidates and scaled; what
    is computed of whole bands is part of both.
    """
    for step in ("windows", "loop"):
        command = [sys.executable, "-m", __spec__.name, step]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, mib, candidates = (float(word) for word in output.split())
        if step == "windows":
            ours = seconds, mib
    tile = f"detectors, {_SIZE} px, {candidates / 1000:.0f}k candidates"
    yield f"{tile}: CPU s (loop)", ours[0], seconds
    yield f"{tile}: peak RssAnon MiB", ours[1], mib


def burning_tile() -> dict[str, npt.NDArray[np.uint16]]:
    """Return a noisy landscape of B1 to B7 in which one pixel in twenty-five burns."""
    rng = np.random.default_rng(4)
    ground = gaussian_filter(rng.standard_normal((_SIZE, _SIZE)), 8)
    ground /= ground.std()
    burns = rng.random(ground.shape) < 0.04
    means = {"B1": 0.13, "B2": 0.11, "B3": 0.10, "B4": 0.11, "B5": 0.22, "B6": 0.20, "B7": 0.13}
    flames = {"B6": (0.0, 0.1), "B7": (0.3, 0.5)}
    bands = {}
    for band, mean in means.items():
        reflectance = mean * (1 + 0.15 * ground) + 0.01 * rng.standard_normal(ground.shape)
        reflectance += burns * rng.uniform(*flames.get(band, (0.0, 0.0)), ground.shape)
        bands[band] = np.clip((reflectance + 0.1) / 2e-5, 1, 65535).astype(np.uint16)
    return bands


def _loop(bands: dict[str, npt.NDArray[np.uint16]]) -> tuple[float, int]:
    start = time.process_time()
    contexts = [plain.schroeder_context(bands), plain.kumar_roy_context(bands, _SUN)]
    plain.murphy(bands, _SUN)
    seconds, n = time.process_time() - start, 0
    for context in contexts:
        candidates = list(zip(*np.nonzero(context.candidate), strict=True))
        some = candidates[:: max(1, len(candidates) // _MEASURED)]
        start = time.process_time()
        for y, x in some:
            context.stands_out(int(y), int(x))
        seconds += (time.process_time() - start) / len(some) * len(candidates)
        n += len(candidates)
    return seconds, n


def _run(step: str) -> None:
    bands = burning_tile()
    with watched_rss_anon() as peak:
        if step == "loop":
            seconds, candidates = _loop(bands)
        else:
            seconds, candidates = np.inf, 0
            for _ in range(_RUNS):
                start = time.process_time()
                detect(SINGLE_DETECTORS, bands, _SUN)
                seconds = min(seconds, time.process_time() - start)
    print(seconds, peak.mib, candidates)


if __name__ == "__main__":
    _run(sys.argv[1])
