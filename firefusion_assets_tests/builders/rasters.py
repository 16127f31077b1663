"""Small GeoTIFFs for tests."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio

SCENES = tuple(f"LC08_L1TP_{path:03d}029_20200914_20200914_01_RT" for path in range(10, 40, 5))


def write_raster(path: Path, array: npt.NDArray[np.generic], crs: str | None = None, **profile: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {"crs": crs, "transform": rasterio.Affine(30, 0, 500_000, 0, -30, 4_000_000)} if crs else {}
    bands, height, width = array.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=height,
        width=width,
        dtype=array.dtype,
        **place,
        **profile,
    ) as file:
        file.write(array)
    return path


def write_activefire(folder: Path, scenes: tuple[str, ...] = SCENES, n: int = 3, size: int = 16) -> Path:
    """Patches and v1 masks in the data set's layout: the first patch of each scene burns."""
    rng = np.random.default_rng(0)
    for scene in scenes:
        for number in range(1, n + 1):
            bands = rng.integers(5000, 20000, (10, size, size)).astype(np.uint16)
            write_raster(folder / "images" / f"{scene}_p{number:05d}.tif", bands)
        mask = np.zeros((1, size, size), np.uint8)
        mask[0, 4:7, 4:8] = 1
        write_raster(folder / "masks" / f"{scene}_v1_p00001.tif", mask)
    return folder
