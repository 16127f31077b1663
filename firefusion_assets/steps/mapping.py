"""Fire maps: the trained networks of a config over whole scenes, as files that GIS programs open."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rasterio.errors import NotGeoreferencedWarning

from firefusion_assets.artifacts.hashes import digest
from firefusion_assets.core.errors import RequestError
from firefusion_assets.geodata.cog import Colour, write_cog
from firefusion_assets.geodata.fires import fire_polygons
from firefusion_assets.geodata.geopackage import write_geopackage
from firefusion_assets.ingest.scenes import Scene, SceneError, SceneFile, find_scenes, open_scene
from firefusion_assets.landsat.detectors import SINGLE_DETECTORS
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.segmentation.mapping import Network, map_lines, prepared
from firefusion_assets.segmentation.trained import RECORD_FILE, WEIGHTS_FILE, load_network

PROBABILITY, SPREAD, FIRE, DETECTORS, FIRES = (
    "probability.tif", "spread.tif", "fire.tif", "detectors.tif", "fires.gpkg",
)  # fmt: skip
_RECORD: Final = "map.json"
_NO_DATA: Final = 255
_COLOURS: Final[dict[int, Colour]] = {0: (0, 0, 0, 0), 1: (230, 60, 0, 255), _NO_DATA: (0, 0, 0, 0)}
_TELL_LINES: Final = 1000
_MIDDLE_LINES: Final = 64
_FAR: Final = 5.0
"""Times that a scene's median is above or below the train part's mean; the DN of other regions and seasons stay below
3."""


@dataclass(frozen=True)
class Model:
    """Trained networks that map together.

    Attributes:
        networks: with the constants of their input, all for the same bands.
        bands: names of these bands.
        window: patch size that they were trained on, in px.
        threshold: probability from which a pixel counts as fire.
        digest: of the files and the threshold.
    """

    networks: list[Network]
    bands: tuple[str, ...]
    window: int
    threshold: float
    digest: str


def network_folders(lineage: Lineage, model: str) -> list[Path]:
    """Return the folders of the networks that a name stands for.

    Args:
        lineage: of the study.
        model: a config's key; one followed by a fold and replicate (`native/fold-0/replicate-3`) for fewer networks;
            or a folder that holds networks.

    Raises:
        StudyError: if there is no such config.
        MissingUpstreamError: if its networks were not trained.
        RequestError: if there is no network there.
    """
    folder = Path(model)
    if not folder.is_dir():
        key, _, below = model.partition("/")
        lineage.config(key)
        folder = lineage.find("trained_unet", key).path / below
    found = sorted(file.parent for file in folder.rglob(RECORD_FILE))
    if not found:
        raise RequestError(
            f"{model}: holds no trained network ({RECORD_FILE}); name a config, or a folder with networks"
        )
    return found


def load_model(folders: Sequence[Path], threshold: float | None) -> Model:
    """Load networks that map together.

    Args:
        folders: of `network_folders`.
        threshold: probability from which a pixel counts as fire; None for the one that they were validated with.

    Raises:
        RequestError: if they are networks of several studies.
    """
    loaded = [load_network(folder) for folder in folders]
    first = loaded[0][1]
    kinds = {(record.normalisation.bands, record.patch_size) for _, record in loaded}
    if len(kinds) > 1:
        raise RequestError(
            f"{folders[0]} and others: were trained on different bands or patch sizes; map with each alone"
        )
    used = first.threshold if threshold is None else threshold
    files = [hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest() for folder in folders]
    return Model(
        networks=[(prepared(network), record.normalisation) for network, record in loaded],
        bands=first.normalisation.bands,
        window=first.patch_size,
        threshold=used,
        digest=digest([files, used]),
    )


def map_scenes(
    model: Model, paths: Sequence[Path], of_images: Sequence[str], folder: Path, progress: Callable[[str], None]
) -> list[Path]:
    """Map scenes, each into a folder of its name; those that the same model mapped before are passed over.

    Args:
        model: of `load_model`.
        paths: products, folders of products or images, or image files.
        of_images: names of an image's bands in file order, for images that don't name them.
        folder: where to.
        progress: called with lines on how far it is.

    Returns:
        The folders. Each holds `probability.tif` and `spread.tif` over the networks, `fire.tif`, `fires.gpkg`, and for
        products `detectors.tif`: what the published detectors see.

    Raises:
        SceneError: at the end, with every scene that can't be mapped; the others are done.
    """
    problems, done = [], []
    scenes = find_scenes(paths)
    for number, file in enumerate(scenes, start=1):
        target = folder / file.name
        label = f"{file.name} ({number} of {len(scenes)})"
        if _is_mapped(target, model):
            progress(f"{label}: found, {_summary(target)}")
        else:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # an image may have no place
                    with open_scene(file, model.bands, of_images) as scene:
                        if _is_strange(model, scene):
                            progress(
                                f"{label}: WARNING: its values are far from those that the networks learned from; is "
                                "it of the same sensor, unit and type?"
                            )
                        _map_scene(model, scene, file, target, progress)
            except SceneError as error:
                problems.append(str(error))
                continue
            progress(f"{label}: {_summary(target)}")
        done.append(target)
    if problems:
        raise SceneError("\n".join(problems))
    return done


def _is_strange(model: Model, scene: Scene) -> bool:
    """Tell whether the values in the middle of a scene are far from the train part's, in every band."""
    middle = scene.height // 2
    dn = scene.read(middle, min(middle + _MIDDLE_LINES, scene.height)).reshape(len(model.bands), -1)
    known = dn[:, dn.any(axis=0)]
    if not known.size:
        return False
    _, normalisation = model.networks[0]
    ratio = np.median(known, axis=1) / np.maximum(normalisation.mean, 1)
    return bool((np.maximum(ratio, 1 / ratio) > _FAR).all())


def _map_scene(model: Model, scene: Scene, file: SceneFile, target: Path, progress: Callable[[str], None]) -> None:
    work = target.with_name(f"{target.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    grid: dict[str, Any] = {"crs": scene.crs, "transform": scene.transform}
    one = (1, scene.height, scene.width)
    tags = {"MODEL": model.digest, "NETWORKS": str(len(model.networks)), "THRESHOLD": f"{model.threshold:g}"}
    with ExitStack() as stack:
        probability, spread = (
            stack.enter_context(
                write_cog(
                    work / name,
                    shape=one,
                    dtype="float32",
                    nodata=float("nan"),
                    bands=[Path(name).stem],
                    tags=tags,
                    **grid,
                )
            )
            for name in (PROBABILITY, SPREAD)
        )
        fire = stack.enter_context(
            write_cog(
                work / FIRE,
                shape=one,
                dtype="uint8",
                nodata=_NO_DATA,
                bands=["fire"],
                colours=_COLOURS,
                tags=tags,
                **grid,
            )
        )
        told = 0
        for lines in map_lines(model.networks, scene, model.window):
            probability.write(lines.first, lines.probability[None])
            spread.write(lines.first, lines.spread[None])
            burning = (lines.probability >= model.threshold).astype(np.uint8)
            fire.write(lines.first, np.where(np.isnan(lines.probability), _NO_DATA, burning).astype(np.uint8)[None])
            if (read := lines.first + len(lines.probability)) - told >= _TELL_LINES:
                progress(f"{file.name}: {read} of {scene.height} lines")
                told = read
    detectors = _write_detectors(scene, work / DETECTORS, grid)
    fires = fire_polygons(work / FIRE, work / PROBABILITY, work / SPREAD, detectors)
    write_geopackage(work / FIRES, {"fires": fires})
    record = {
        "scene": str(file),
        "model": model.digest,
        "networks": len(model.networks),
        "bands": model.bands,
        "window": model.window,
        "threshold": model.threshold,
        "fires": len(fires),
        "fire_pixels": int(fires["pixels"].sum()),
        "fire_km2": float(fires["area_m2"].sum()) / 1e6 if scene.crs else None,
    }
    (work / _RECORD).write_text(json.dumps(record, indent=2) + "\n")
    shutil.rmtree(target, ignore_errors=True)
    work.rename(target)


def _write_detectors(scene: Scene, path: Path, grid: dict[str, Any]) -> Path | None:
    """Write what the published detectors see, a band each; None where they can't tell."""
    if not scene.has_detectors:
        return None
    names = (*SINGLE_DETECTORS, "voting")
    shape = (len(names), scene.height, scene.width)
    with write_cog(path, shape=shape, dtype="uint8", bands=names, **grid) as detectors:
        for first, masks in scene.detected():
            detectors.write(first, np.stack([masks[name] for name in names]).astype(np.uint8))
    return path


def _is_mapped(target: Path, model: Model) -> bool:
    return (target / _RECORD).is_file() and map_record(target)["model"] == model.digest


def map_record(target: Path) -> dict[str, Any]:
    """Return what `map.json` says of a map: its scene, model, settings, and how much burns."""
    record: dict[str, Any] = json.loads((target / _RECORD).read_text())
    return record


def _summary(target: Path) -> str:
    record = map_record(target)
    area = "" if record["fire_km2"] is None else f", {record['fire_km2']:.2f} km2"
    fires = f"{record['fires']} fire{'' if record['fires'] == 1 else 's'}"
    return f"{fires}, {record['fire_pixels']} px{area}: {target}"
