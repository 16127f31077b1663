"""Fire maps: speed on one core against a plain loop over patches, and memory on a whole scene."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio
import torch

from benchmarks.product_memory import HEIGHT, WIDTH, write_scene
from firefusion_assets.ingest.scenes import find_scenes, open_scene
from firefusion_assets.segmentation.batches import Normalisation
from firefusion_assets.segmentation.mapping import map_lines
from firefusion_assets.segmentation.networks import build_network, start_from_class_share
from firefusion_assets.segmentation.trained import NetworkRecord, load_network, save_network
from firefusion_assets.steps.mapping import load_model, map_scenes
from firefusion_assets.study.models import Training
from firefusion_assets_tests.builders.memory import watched_rss_anon

_BANDS: Final = ("B7", "B6", "B2")
_WINDOW: Final = 256
_SIDE: Final = 2_944
"""Windows of both tile it without a rest, so that both map every pixel."""
_TILT: Final = 0.21
"""Of a product's footprint against north, as tangent: about a third of its raster is fill."""
_RUNS: Final = 3


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield megapixels a second of a core, ours and of a plain loop, and the peak RssAnon in MiB of a whole scene."""
    with tempfile.TemporaryDirectory() as folder:
        network = _save(Path(folder) / "network")
        image = Path(folder) / "scene.tif"
        dn = np.random.default_rng(1).integers(6_000, 12_000, (3, _SIDE, _SIDE)).astype(np.uint16)
        dn[:, ~_footprint()] = 0
        with rasterio.open(
            image, "w", driver="GTiff", count=3, height=_SIDE, width=_SIDE, dtype="uint16", tiled=True,
        ) as file:  # fmt: skip
            file.write(dn)
        times = [(_seconds(_ours, network, image), _seconds(_patch_by_patch, network, image)) for _ in range(_RUNS)]
        ours, plain = np.median(times, axis=0)
        size = _SIDE**2 / 1e6
        yield "fire map, megapixels/s of a core (patch by patch)", size / float(ours), size / float(plain)
        command = [sys.executable, "-m", __spec__.name, str(network), str(write_scene(Path(folder)))]
        words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        yield f"fire map of {HEIGHT} x {WIDTH} px, peak RssAnon MiB (1.5 GB)", float(words[-2]), 1536.0
        yield "its megapixels/s, files and detectors included (1)", HEIGHT * WIDTH / 1e6 / float(words[-1]), 1.0


def _footprint() -> npt.NDArray[np.bool_]:
    """Return where a product that descends from north-east to south-west has data, bool (side, side)."""
    down, right = np.mgrid[:_SIDE, :_SIDE] / _SIDE
    edges = [
        right + _TILT * down - _TILT,
        right + _TILT * down - 1,
        down - _TILT * right,
        down - _TILT * right - 1 + _TILT,
    ]
    return (edges[0] > 0) & (edges[1] < 0) & (edges[2] > 0) & (edges[3] < 0)


def _save(folder: Path) -> Path:
    recipe = Training(bands=_BANDS, filters=4)
    network = build_network(recipe)
    start_from_class_share(network, 1e-3)
    folder.mkdir()
    normalisation = Normalisation(bands=_BANDS, mean=(9000.0,) * 3, std=(1500.0,) * 3)
    record = NetworkRecord(
        training=recipe, normalisation=normalisation, patch_size=_WINDOW, threshold=0.5,
        fold=0, replicate=0, seed=0, step=0, val_dice_micro=None,
    )  # fmt: skip
    save_network(folder, network.state_dict(), record)
    return folder


def _ours(network: Path, image: Path) -> None:
    model = load_model([network], None)
    (file,) = find_scenes([image])
    with open_scene(file, model.bands, model.bands) as scene:
        for _ in map_lines(model.networks, scene, model.window):
            pass


@torch.inference_mode()
def _patch_by_patch(folder: Path, image: Path) -> None:
    """One window after the other, a quarter of it over the next: read from the file, predicted alone, added."""
    network, record = load_network(folder)
    step = _WINDOW * 3 // 4
    total, weights = np.zeros((2, _SIDE, _SIDE), np.float32)
    along = np.minimum(np.minimum(np.arange(_WINDOW), np.arange(_WINDOW)[::-1]) + 1, _WINDOW - step)
    weight = np.outer(along, along).astype(np.float32)
    with rasterio.open(image) as dataset:
        for top in range(0, _SIDE - _WINDOW + 1, step):
            for left in range(0, _SIDE - _WINDOW + 1, step):
                place = slice(top, top + _WINDOW), slice(left, left + _WINDOW)
                dn = dataset.read(window=((place[0].start, place[0].stop), (place[1].start, place[1].stop)))
                scaled = record.normalisation.scale(torch.from_numpy(dn)[None])
                total[place] += torch.sigmoid(network(scaled))[0, 0].numpy() * weight
                weights[place] += weight
    total /= weights


def _seconds(work: Callable[[Path, Path], None], network: Path, image: Path) -> float:
    start = time.perf_counter()
    work(network, image)
    return time.perf_counter() - start


def _whole_scene(network: Path, scene: Path) -> None:
    start = time.perf_counter()
    with watched_rss_anon() as peak, tempfile.TemporaryDirectory() as out:
        map_scenes(load_model([network], None), [scene], (), Path(out), lambda line: None)
    print(peak.mib, time.perf_counter() - start)


if __name__ == "__main__":
    _whole_scene(Path(sys.argv[1]), Path(sys.argv[2]))
