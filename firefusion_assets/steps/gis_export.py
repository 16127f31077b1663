"""What a config painted, learned from and predicted, for GIS programs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.core.atomic_files import write_atomically
from firefusion_assets.core.errors import RequestError
from firefusion_assets.core.folders import is_new
from firefusion_assets.core.pictures import FALSE_ALARM_COLOUR, HIT_COLOUR, IGNORE_COLOUR, LABEL_COLOUR, MISS_COLOUR
from firefusion_assets.geodata.cog import Colour
from firefusion_assets.geodata.geopackage import write_geopackage
from firefusion_assets.geodata.patches import footprints, write_patch
from firefusion_assets.ingest.split import HELD_BACK
from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.verdicts import Verdicts
from firefusion_assets.lineage.assets import AssetName
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold, Replicate, read_replicates
from firefusion_assets.patchstore import Patch
from firefusion_assets.steps.scoring import read_predictions

_MADE_FROM: Final[tuple[AssetName, ...]] = (
    "landsat_patches", "scene_split", "synthetic_images", "screened_images", "dice_metrics",
)  # fmt: skip
_IGNORED_LABEL: Final = 2
_IGNORED: Final = 255
_OUTCOMES: Final = np.array([0, 3, 2, 1], np.uint8)
"""What 2 * truth + prediction is written as."""

_FREE: Final[Colour] = (40, 40, 40, 255)
_LABEL_COLOURS: Final[dict[int, Colour]] = {
    0: _FREE, 1: (*LABEL_COLOUR, 255), _IGNORED_LABEL: (*IGNORE_COLOUR, 255),
}  # fmt: skip
_OUTCOME_COLOURS: Final[dict[int, Colour]] = {
    0: _FREE, 1: (*HIT_COLOUR, 255), 2: (*MISS_COLOUR, 255), 3: (*FALSE_ALARM_COLOUR, 255), _IGNORED: (0, 0, 0, 0),
}  # fmt: skip

_ABOUT: Final = """\
Training data and predictions of config {key} of study {study}, written by `firefusion export --form gis`.

painted/PATCH_ID.tif      SYNTHETIC. A patch that an engine painted fire into, accepted or not; DN of all stored bands.
                          It lies where its background lies; without a place on the map where that has none. The
                          file's tags name background, mask, engine, seed, verdict and reason.
labels/PATCH_ID.tif       What training would learn from it after screening: 0 no fire, 1 fire, 2 ignored.
predictions/PATCH_ID.tif  Real patches of the {part} part of fold 0, as the network of {network} sees them:
                          0 no fire (true), 1 hit, 2 missed, 3 false alarm, 255 ignored.
patches.gpkg              Outlines in EPSG:4326 of the patches that have a place, as tables without outlines where none
                          has. Layer `real`: all patches of the study, with their part in fold 0, and the figures of
                          the same network where it was evaluated. Layer `painted`: the painted patches of all folds
                          and replicates on the outlines of their backgrounds, with the figures of the screening.

{counts}

Made from these objects (their manifest.json says more):
{objects}
"""


def export_gis(lineage: Lineage, key: str, folder: Path, progress: Callable[[str], None]) -> None:
    """Write painted patches, labels and predictions of a config as rasters, and outlines of all patches.

    Args:
        lineage: of the study.
        key: of the config.
        folder: a new or empty one; `about.txt` comes last, so that what was cut short isn't taken for whole.
        progress: called with how much is where.

    Raises:
        MissingUpstreamError: if the config was not scored.
        RequestError: if the folder isn't empty.
        OSError: if the disk has no room or fails.
    """
    made = {asset: lineage.find(asset, key) for asset in _MADE_FROM}
    if not is_new(folder):
        raise RequestError(f"{folder}: is not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    replicates = read_replicates(lineage, key)
    first, fold = replicates[0], replicates[0].fold
    written = []
    for replicate in replicates:
        written.append(_write_painted(replicate, made, folder))
        progress(f"{replicate.folder}: {len(written[-1])} painted patches")
    painted = pd.concat(written, ignore_index=True)
    _write_predictions(fold, made["dice_metrics"].path, folder, {"CONFIG": key, "NETWORK": first.folder})
    outlines = footprints(fold.table, fold.train.meta.patch_size)
    real = _real_patches(first, made["dice_metrics"])
    layers = {"real": _on_map(real, outlines), "painted": _on_map(painted, outlines.loc[painted["background"]])}
    write_geopackage(folder / "patches.gpkg", layers)
    counts = (
        f"{len(painted)} painted patches ({painted['accepted'].sum()} accepted), {len(fold.evaluated)} predictions, "
        f"{len(real)} real patches"
    )
    about = _ABOUT.format(
        key=key,
        study=lineage.study.name,
        part=lineage.study.evaluation.part,
        network=first.folder,
        counts=counts,
        objects="\n".join(f"{asset} {artifact.fingerprint}" for asset, artifact in made.items()),
    )
    write_atomically(folder / "about.txt", lambda path: path.write_text(about))
    progress(f"{folder}: {counts}")


def _write_painted(replicate: Replicate, made: Mapping[AssetName, Artifact], folder: Path) -> pd.DataFrame:
    """Write what one replicate painted with its labels; return a row for each patch."""
    fold, meta = replicate.fold, replicate.fold.train.meta
    synthetic = SyntheticPatches(made["synthetic_images"].path / replicate.folder)
    judged = Verdicts.read(made["screened_images"].path / replicate.folder, meta.patch_size)
    origin = synthetic.provenance[["background", "mask", "fold", "replicate", "engine", "seed"]]
    verdicts = judged.rows.rename(columns={"synthetic_id": "patch_id"})
    rows = pd.concat([verdicts[["patch_id"]], origin, verdicts.drop(columns="patch_id")], axis=1)
    for number, row in enumerate(rows.itertuples()):
        place = fold.table.loc[row.background]
        tags = {
            "SYNTHETIC": "yes",
            "BACKGROUND": row.background,
            "MASK": row.mask,
            "ENGINE": row.engine,
            "SEED": str(row.seed),
            "VERDICT": "accepted" if row.accepted else "rejected",
            "REASON": row.reason,
        }
        write_patch(folder / "painted" / f"{row.patch_id}.tif", synthetic.read(number), meta.bands, place, tags=tags)
        label = np.where(judged.ignored[number], _IGNORED_LABEL, judged.labels[number]).astype(np.uint8)
        file = folder / "labels" / f"{row.patch_id}.tif"
        write_patch(file, label[None], ["label"], place, colours=_LABEL_COLOURS, tags=tags)
    return rows


def _write_predictions(fold: Fold, measured: Path, folder: Path, tags: dict[str, str]) -> None:
    predicted = read_predictions(measured, fold.evaluated.ids, fold.evaluated.meta.patch_size)
    for patch_id, mask in predicted.items():
        patch = fold.evaluated.read(patch_id)
        write_patch(
            folder / "predictions" / f"{patch_id}.tif",
            outcomes(patch, mask)[None],
            ["outcome"],
            fold.table.loc[patch_id],
            nodata=_IGNORED,
            colours=_OUTCOME_COLOURS,
            tags=tags,
        )


def outcomes(patch: Patch, predicted: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Compare a prediction (H, W) with the truth: 0 no fire, 1 hit, 2 missed, 3 false alarm, 255 ignored."""
    return np.where(patch.ignore, np.uint8(_IGNORED), _OUTCOMES[2 * patch.label + predicted])


def _real_patches(first: Replicate, metrics: Artifact) -> pd.DataFrame:
    """Return all patches of the base store, with the figures of the first network where it was evaluated."""
    fold = first.fold
    parts = {"train": fold.train, "val": fold.val, "test": fold.test, HELD_BACK: fold.held_back}
    part_of = {patch_id: name for name, part in parts.items() for patch_id in part.ids}
    scored = pd.read_parquet(metrics.path / "patches.parquet")
    scored = scored[(scored["fold"] == fold.number) & (scored["replicate"] == first.number)].set_index("patch_id")
    rows = fold.table[["scene", "group", "fire_pixels", "sun_elevation", "acquired"]]
    rows.insert(2, "part", pd.Series(part_of).reindex(rows.index))
    return rows.join(scored[["dice", "precision", "recall"]]).reset_index()


def _on_map(rows: pd.DataFrame, outlines: gpd.GeoSeries) -> pd.DataFrame:
    """Return rows with their outlines; where none has one, the rows alone."""
    return rows if outlines.isna().all() else gpd.GeoDataFrame(rows, geometry=outlines.array)
