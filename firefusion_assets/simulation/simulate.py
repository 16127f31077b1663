"""Writing simulated scenes as a data set: patches and masks as GeoTIFF, named as in the active fire data set.

Writes the files, scene by scene, in as many processes as there are cores. Each has one patch in memory at a time.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine

from firefusion_assets.core.processes import usable_cores
from firefusion_assets.core.workers import Progress, Workers
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.names import PatchName
from firefusion_assets.simulation.render import render
from firefusion_assets.simulation.scenes import Scene, scenes
from firefusion_assets.simulation.settings import SimulationSettings

IMAGES, MASKS = "landsat_patches", "manual_annotations_patches"

MASK_LABEL = "v1"
"""The masks' label: the simulation's truth takes the place of the data set's first manual annotation."""


def simulate(dataset: SimulationSettings, folder: Path, progress: Progress) -> None:
    """Write a simulated data set in the layout of the active fire data set.

    ``landsat_patches/NAME.tif`` holds uint16 DN of the ten FILE_BANDS, whatever the data set keeps of them;
    ``manual_annotations_patches/NAME.tif`` uint8 0/1, and exists only where there is fire. Both are
    georeferenced. The same data set gives the same bytes; files that are there already are written again.

    Args:
        dataset: number of scenes and patches, patch size, share of patches with fire, seed.
        folder: where the two folders go; made if need be, and holding no other data set.
        progress: called after each scene.

    Raises:
        WorkerError: if a process was killed.
    """
    for name in (IMAGES, MASKS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    workers = min(dataset.scenes, usable_cores())
    if workers == 1:
        for number, scene in enumerate(scenes(dataset), 1):
            _write_scene(folder, scene)
            progress(f"simulated scene {number} of {dataset.scenes}")
        return
    with Workers(workers, partial(_writer, folder), _scene_name, progress) as writers:
        for number, _ in enumerate(writers.as_done(scenes(dataset)), 1):
            progress(f"simulated scene {number} of {dataset.scenes}")


def _writer(folder: Path, slot: int) -> Callable[[Scene, Progress], None]:
    return lambda scene, progress: _write_scene(folder, scene)


def _scene_name(scene: Scene) -> str:
    return f"simulation of scene {scene.path}/{scene.row}"


def _write_scene(folder: Path, scene: Scene) -> None:
    for number in range(1, scene.patches + 1):
        tile = scene.tile(number)
        dn, label = render(scene, tile)
        place = scene.georeference(tile)
        _write(folder / IMAGES / f"{_name(scene, number)}.tif", dn, FILE_BANDS, scene.crs, place)
        if label.any():
            mask = label[None].astype(np.uint8)
            _write(folder / MASKS / f"{_name(scene, number, MASK_LABEL)}.tif", mask, ("fire",), scene.crs, place)


def _name(scene: Scene, number: int, label: str | None = None) -> PatchName:
    return PatchName(
        sensor="LC08",
        level="L1TP",
        path=scene.path,
        row=scene.row,
        acquired=scene.acquired,
        processed=scene.acquired,
        collection="01",
        tier="RT",
        number=f"{number:05d}",
        label=label,
    )


def _write(path: Path, pixels: npt.NDArray[np.generic], bands: tuple[str, ...], crs: str, transform: Affine) -> None:
    """Write (C, H, W) as a GeoTIFF with band descriptions."""
    count, height, width = pixels.shape
    # By way of memory: GDAL closes a file that it couldn't write to a full disk as if it were whole.
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=height, width=width, count=count, dtype=pixels.dtype,
            crs=crs, transform=transform, compress="deflate", interleave="band",
        ) as file:  # fmt: skip
            file.write(pixels)
            file.descriptions = bands
        path.write_bytes(memory.read())
