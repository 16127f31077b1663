"""FLUX.1 Fill [dev] as an engine: it paints fires into three bands as the model comes, without fine-tuning.

The model's licence, the FLUX.1 [dev] Non-Commercial License, forbids commercial use: see README.md.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from firefusion_assets.core import seeding
from firefusion_assets.engines.shared_settings import Composite, missing_bands, oversized_crop
from firefusion_assets.landsat.bands import FALSE_COLOUR
from firefusion_assets.study.augmentation import Augmentation, Sampling
from firefusion_assets.study.engine import Engine, Run
from firefusion_assets.study.models import Study

if TYPE_CHECKING:
    import pandas as pd

    from firefusion_assets.engines.stable_diffusion.stretch import Stretch
    from firefusion_assets.engines.windows import Place
    from firefusion_assets.patchstore import PatchPart

MODEL = "model.json"
GUIDANCE = 30.0
"""Default of the pipeline's call. The model takes it as an input: there is no second pass without prompt."""


class FluxFill(Engine):
    """FLUX.1 Fill [dev], pretrained. Its licence forbids commercial use."""

    reads: ClassVar[tuple[str, ...]] = ("guidance_scale", "mixed_precision", "prompts")
    modules: ClassVar[tuple[str, ...]] = ("transformers",)
    requirement: ClassVar[str] = "firefusion-assets[stable-diffusion]"

    engine: Literal["flux-fill"]
    base_model: Path
    """Folder with the model in diffusers' layout, relative to the study folder."""
    composite: Composite = FALSE_COLOUR
    """Bands that the model sees as red, green and blue; the others stay as the background has them."""
    crop: int = Field(64, ge=8)
    """Height and width in px of the window that is enlarged to `resolution`."""
    resolution: int = Field(1024, ge=64, multiple_of=16)
    """Height and width that the model works at; a multiple of `crop`."""
    prompt: str = Field("satellite imagery, wildfire, landsat-8", min_length=1)
    """Where `sampling.prompts` names none."""

    @classmethod
    def broken_files(cls, settings: Mapping[str, Any], folder: Path) -> Iterator[str]:
        """Say that the folder holds no FLUX Fill."""
        if isinstance(named := settings.get("base_model"), str):
            index = folder / named / "model_index.json"
            try:
                kind = json.loads(index.read_text())["_class_name"]
            except (OSError, ValueError, KeyError):
                kind = "nothing that can be read"
            if kind != "FluxFillPipeline":
                yield f"generator.base_model: {index} names {kind}, not FluxFillPipeline; download FLUX.1 Fill there"

    def misfits(self, study: Study, config: Augmentation) -> Iterator[str]:
        """Say which bands are missing, and which sizes don't go into each other."""
        yield from missing_bands(self.composite, study)
        yield from oversized_crop(self.crop, study)
        if self.resolution % self.crop:
            yield f"generator.resolution: {self.resolution} is not a multiple of crop ({self.crop}); change either"

    def resolved(self, folder: Path) -> Self:
        """Return the settings with the model's path absolute."""
        return self.model_copy(update={"base_model": (folder / self.base_model).resolve()})

    def fingerprint_part(self, folder: Path, hash_folder: Callable[[Path], str]) -> Any:
        """Return the settings, with the contents of the model for its path."""
        return self.model_dump(mode="json") | {"base_model": hash_folder(folder / self.base_model)}

    def fit(self, train: "PatchPart", work: Path, run: Run) -> dict[str, float]:
        """Measure how DN become the model's range."""
        from firefusion_assets.engines.stable_diffusion.stretch import fit_stretch

        stretch = fit_stretch("asinh", train, self.composite, seed=1)
        channels = [train.meta.bands.index(band) for band in self.composite]
        (work / MODEL).write_text(json.dumps({"channels": channels, "stretch": stretch.model_dump()}))
        return {}

    def load(self, folder: Path, sampling: Sampling, rows: "pd.DataFrame | None" = None) -> "FluxFillPainter":
        """Return the painter."""
        from firefusion_assets.engines.stable_diffusion.stretch import Stretch

        model = json.loads((folder / MODEL).read_text())
        return FluxFillPainter(self, model["channels"], Stretch(**model["stretch"]), sampling)

    def shown_bands(self) -> tuple[str, ...]:
        """Return the composite."""
        return self.composite


class FluxFillPainter:
    """Paints windows with the pipeline's own call."""

    def __init__(self, engine: FluxFill, channels: list[int], stretch: "Stretch", sampling: Sampling) -> None:
        import torch
        from diffusers import FluxFillPipeline

        from firefusion_assets.core.devices import compute_device

        # In half precision the VAE would leave 8 bits of a band.
        self._dtype = torch.bfloat16 if sampling.mixed_precision == "bf16" else torch.float32
        dtypes = {"default": self._dtype, "vae": torch.float32}
        pipeline = FluxFillPipeline.from_pretrained(engine.base_model, dtype=dtypes, local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(compute_device())
        self._engine, self._channels, self._stretch, self._sampling = engine, channels, stretch, sampling

    def paint(
        self,
        backgrounds: npt.NDArray[np.uint16],
        labels: npt.NDArray[np.bool_],
        edits: npt.NDArray[np.bool_],
        seeds: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint16]:
        """Paint a fire into each patch; see `study.engine.Painter`."""
        from firefusion_assets.engines.windows import paint_by_windows

        def sample(
            known: npt.NDArray[np.uint16],
            label: npt.NDArray[np.bool_],
            edit: npt.NDArray[np.bool_],
            places: "Sequence[Place]",
        ) -> npt.NDArray[np.float32]:
            windows = self._stretch.to_model(known)
            drawn = [seeding.derive_seed(int(seeds[place.patch]), "window", place.number) for place in places]
            size = self._sampling.batch_size
            batches = [slice(start, start + size) for start in range(0, len(windows), size)]
            return self._stretch.to_dn(
                np.concatenate([self.painted(windows[batch], edit[batch], drawn[batch]) for batch in batches])
            )

        painted, composite = backgrounds.copy(), backgrounds[:, self._channels]
        size, dn_max = self._engine.crop, self._stretch.dn_max
        painted[:, self._channels] = paint_by_windows(composite, labels, edits, size, dn_max, sample)
        return painted

    def painted(
        self, windows: npt.NDArray[np.float32], hidden: npt.NDArray[np.bool_], seeds: Sequence[int]
    ) -> npt.NDArray[np.float32]:
        """Return windows (N, 3, S, S) of the model's range with what is hidden (N, S, S) painted."""
        import torch

        from firefusion_assets.engines.stable_diffusion.enlarging import area_mean, enlarge, without_hidden

        pipeline, factor, side = self._pipeline, self._engine.resolution // windows.shape[-1], self._engine.resolution
        around = np.stack([without_hidden(*window) for window in zip(windows, hidden, strict=True)])
        mask = torch.from_numpy(np.kron(hidden[:, None], np.ones((factor, factor), np.float32)))
        prompts = self._sampling.prompts or (self._engine.prompt,)
        with torch.autocast(pipeline.device.type, self._dtype, enabled=self._dtype != torch.float32):
            latents = pipeline(
                [prompts[int(seeding.generator(seed, "prompt").integers(len(prompts)))] for seed in seeds],
                image=(enlarge(torch.from_numpy(around), factor) + 1) / 2,
                mask_image=mask,
                height=side,
                width=side,
                num_inference_steps=self._sampling.steps,
                guidance_scale=self._sampling.guidance_scale or GUIDANCE,
                generator=[torch.Generator().manual_seed(seeding.derive_seed(seed, "noise")) for seed in seeds],
                output_type="latent",
            ).images
        # The transformer's tokens are 2 x 2 latent cells.
        cells = side // pipeline.vae_scale_factor // 2
        latents = latents.float().unflatten(2, (-1, 2, 2)).unflatten(1, (cells, cells))
        latents = latents.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        settings = pipeline.vae.config
        with torch.no_grad():
            images = pipeline.vae.decode(latents / settings.scaling_factor + settings.shift_factor).sample
        back: npt.NDArray[np.float32] = area_mean(images, factor).cpu().numpy()
        return back
