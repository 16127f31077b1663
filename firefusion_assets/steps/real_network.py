"""A network that was trained on a fold's real train part alone, as the study trains all of its own: it judges paint."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from firefusion_assets.artifacts.hashes import digest
from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.core.seeding import derive_seed
from firefusion_assets.inpainting.masks import Mask
from firefusion_assets.inpainting.selection import Losses, PixelLoss
from firefusion_assets.lineage.assets import REAL_NETWORK, real_network_settings
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.folds import Fold

_VERSION: Final = 1


def real_network(lineage: Lineage, fold: Fold, progress: Callable[[str], None]) -> Path:
    """Return the folder of a fold's network, trained if there is none yet; all configs of the study share it.

    The val part chooses its step, as that of all networks of the study; nothing of the test part is looked at.
    """
    from firefusion_assets.segmentation.parallel import share_of_cores
    from firefusion_assets.segmentation.training import TrainingJob, train_unet

    study = lineage.study
    made_from = [(asset, lineage.fingerprint(asset, UNPARTITIONED)) for asset in ("landsat_patches", "scene_split")]
    job = TrainingJob(
        base=fold.base,
        fold=fold.number,
        seed=derive_seed(study.replicates.seed, "real network"),
        train_ids=tuple(fold.train.ids),
        val_ids=tuple(fold.val.ids),
        statistics=fold.train.statistics_file,
        training=study.training,
        threshold=study.evaluation.threshold,
    )

    def make(work: Path) -> Mapping[str, Any]:
        with share_of_cores(1):
            train_unet(job, work, lambda line: progress(f"{REAL_NETWORK}, {line}"))
        return {"fold": fold.number, "n_patches": len(fold.train)}

    settings = real_network_settings(lineage)
    fingerprint = digest([REAL_NETWORK, _VERSION, made_from, settings, fold.number])
    return lineage.store.build(REAL_NETWORK, fingerprint, make, progress, made_from, settings).path


def pixel_loss(folder: Path, bands: tuple[str, ...]) -> PixelLoss:
    """Return the losses of a network that `real_network` trained.

    Args:
        folder: of the network.
        bands: names of the patches' bands.
    """
    import torch
    from torch.nn import functional

    from firefusion_assets.segmentation.trained import load_network

    network, record = load_network(folder)
    device = next(network.parameters()).device
    rows = [bands.index(band) for band in record.normalisation.bands]

    def loss(patch: npt.NDArray[np.uint16], label: Mask) -> Losses:
        with torch.inference_mode():
            logits = network(record.normalisation.scale(torch.from_numpy(patch[None, rows]).to(device)))[0, 0].float()
            fire = torch.from_numpy(label).to(device, torch.float32)
            found = functional.binary_cross_entropy_with_logits(logits, fire, reduction="none")
        return np.asarray(found.cpu().numpy(), np.float32)

    return loss
