"""Paint saturates as often as real fires of the train part do, and then reaches exactly the largest DN."""

from pathlib import Path

import numpy as np
import pytest
import torch

from firefusion_assets.engines.stable_diffusion.base_model import load_base
from firefusion_assets.engines.stable_diffusion.enlarging import enlarge
from firefusion_assets.engines.stable_diffusion.pixels import Pixels
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.engines.stable_diffusion.views import FireViews
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta

BANDS, SIZE, DN_MAX = ("B2", "B6", "B7"), 32, 65535


def burning(folder: Path, saturated: dict[str, float]) -> PatchPart:
    """Patches of which a share of the fire pixels is saturated, for each band."""
    rng = np.random.default_rng(3)
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=SIZE)) as writer:
        for number in range(6):
            bands = rng.integers(7000, 12000, (3, SIZE, SIZE)).astype(np.uint16)
            label = np.zeros((SIZE, SIZE), bool)
            label[10:20, 8:22] = True
            for band, share in saturated.items():
                hot = np.where(rng.random((SIZE, SIZE)) < share, DN_MAX, rng.integers(20000, 60000, (SIZE, SIZE)))
                bands[BANDS.index(band), label] = hot[label]
            writer.add_patch(f"p{number}", Patch(bands, label, np.zeros_like(label)))
    return PatchPart(Patches(folder), [f"p{number}" for number in range(6)])


def generator(base: Path) -> StableDiffusionGenerator:
    return StableDiffusionGenerator.model_validate(
        {"engine": "stable-diffusion", "base_model": str(base), "method": "none", "crop": 16, "resolution": 64}
    )


def test_as_many_values_saturate_after_the_vae_as_before(base: Path, tmp_path: Path) -> None:
    part = burning(tmp_path, {"B7": 0.3, "B6": 0.05})
    pixels = Pixels.fit(generator(base), part)
    assert pixels.saturation[2] is None  # B2 never saturates
    views = FireViews(part, generator(base))
    seen = [views[number] for number in range(len(part.ids))]
    vae = load_base(base, None).vae
    with torch.no_grad():
        images = enlarge(torch.from_numpy(pixels.stretch.to_model(np.stack([view.dn for view in seen]))), 4)
        back = vae.decode(vae.encode(images).latent_dist.mode()).sample.numpy()
    dn = pixels.to_dn(back.reshape(6, 3, 16, 4, 16, 4).mean(axis=(3, 5)))
    for band in range(3):
        real, painted = (
            np.concatenate([values[band][view.mask] for values, view in zip(images, seen, strict=True)])
            for images in ([view.dn for view in seen], dn)
        )
        # NumPy's mean rounds otherwise than torch's, so the pixel at the limit may fall on either side.
        assert (painted == DN_MAX).sum() == pytest.approx((real == DN_MAX).sum(), abs=1)
        assert ((real == DN_MAX).sum() > 10) == (band < 2)
    pixels.write(tmp_path)
    assert Pixels.read(tmp_path) == pixels


def test_fires_that_never_saturate_need_no_vae(tmp_path: Path) -> None:
    part = burning(tmp_path / "store", {"B7": 0})
    assert Pixels.fit(generator(tmp_path / "no model"), part).saturation == (None, None, None)
