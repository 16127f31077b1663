"""The diffusion pipeline of engine `native`: network, noise schedule and scaling, kept in one folder.

Samples one batch of crops; `fitting` trains, `painter` paints whole patches.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.utils import logging

from firefusion_assets.core.devices import compute_device
from firefusion_assets.engines.contract import require_finite
from firefusion_assets.engines.native.calibration import Calibration
from firefusion_assets.engines.native.contrast import Array, Contrast, fill_in
from firefusion_assets.engines.native.crops import Crops, crop_of, stacked
from firefusion_assets.engines.native.diffusion_noise import NoiseMix
from firefusion_assets.engines.native.scaling import Scaling

TRAIN_TIMESTEPS: Final = 1000
"""Noise levels of the schedule."""


class NativeInpaintPipeline(DiffusionPipeline):
    """Paints fires into crops of all bands.

    The network sees the noisy bands inside the edit mask, the label, the edit mask, and the ground around it.
    It predicts v = sqrt(a) noise - sqrt(1 - a) sample (Salimans and Ho 2022, arXiv 2202.00512): trained to
    predict the clean sample it painted the same mean fire for every seed.

    Args:
        unet: predicts v for the bands.
        scheduler: the noise schedule.
        bands: band names, in the order of the channels.
        dark: see `Scaling`.
        iqr: see `Scaling`.
        lowest: see `Scaling`.
        highest: see `Scaling`.
        ground_factor: see `Contrast`.
        means: see `Contrast`.
        slopes: see `Contrast`.
        rises: see `Contrast`.
        factors: see `Contrast`.
        mixtures: see `NoiseMix`.
        smooth: see `NoiseMix`.
        even: see `NoiseMix`.
        dn_max: see `Scaling`.
        crop: height and width in px of what the network was trained on.
    """

    unet: UNet2DModel
    scheduler: Any
    config: Any

    def __init__(
        self,
        unet: UNet2DModel,
        scheduler: DDIMScheduler,
        bands: list[str] | None = None,
        dark: list[float] | None = None,
        iqr: list[float] | None = None,
        lowest: list[float] | None = None,
        highest: list[float] | None = None,
        ground_factor: list[list[float]] | None = None,
        means: list[list[float]] | None = None,
        slopes: list[list[float]] | None = None,
        rises: list[list[float]] | None = None,
        factors: list[list[list[float]]] | None = None,
        mixtures: list[list[float]] | None = None,
        smooth: list[float] | None = None,
        even: list[float] | None = None,
        dn_max: int = 65535,
        crop: int = 32,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(
            bands=bands,
            dark=dark,
            iqr=iqr,
            lowest=lowest,
            highest=highest,
            ground_factor=ground_factor,
            means=means,
            slopes=slopes,
            rises=rises,
            factors=factors,
            mixtures=mixtures,
            smooth=smooth,
            even=even,
            dn_max=dn_max,
            crop=crop,
        )

    @property
    def scaling(self) -> Scaling:
        """DN to what the network sees, and back."""
        dark, iqr, lowest, highest = (tuple(self.config[name]) for name in Scaling._fields[:-1])
        return Scaling(dark, iqr, lowest, highest, self.config.dn_max)

    @property
    def contrast(self) -> Contrast:
        """Differences to the ground, and what the network sees of them."""
        ground, means, slopes, rises = (tuple(map(tuple, self.config[name])) for name in Contrast._fields[:-1])
        matrices = tuple(tuple(map(tuple, factor)) for factor in self.config.factors)
        return Contrast(ground, means, slopes, rises, matrices)

    @property
    def noise(self) -> NoiseMix:
        """What noise is made of."""
        return NoiseMix(tuple(map(tuple, self.config.mixtures)), tuple(self.config.smooth), tuple(self.config.even))

    @property
    def crop(self) -> int:
        """Height and width of a crop in px."""
        return int(self.config.crop)

    def __call__(
        self,
        backgrounds: npt.NDArray[np.uint16],
        labels: npt.NDArray[np.bool_],
        edits: npt.NDArray[np.bool_],
        noise: npt.NDArray[np.float32],
        num_inference_steps: int,
        strength: float = 1.0,
        calibration: Calibration | None = None,
    ) -> npt.NDArray[np.float32]:
        """Sample crops by the pipeline's scheduler, without noise on the way.

        What a step makes of the noise follows the noise it starts from. So where the ground shines through an event,
        part of that noise is the ground's own relief, and the paint has its slopes and fields.

        Args:
            backgrounds: uint16 DN (N, C, S, S).
            labels: bool (N, S, S), where fire shall be.
            edits: bool (N, S, S), where to paint.
            noise: float32 (N, C, S, S) from `NoiseMix.draw`: what the samples start from.
            num_inference_steps: denoising steps.
            strength: of the noise against the ground's relief; 1 is noise alone.
            calibration: what corrects the values of fires.

        Returns:
            float32 DN (N, C, S, S), of use inside the edit masks only.
        """
        scaling, known = self.scaling, backgrounds.min(axis=1) > 0
        crops = stacked(
            [crop_of(*planes) for planes in zip(scaling.from_dn(backgrounds), labels, edits, known, strict=True)]
        )
        painted = self.sampled(crops, noise, num_inference_steps, strength)
        if calibration:
            painted = calibration.corrected(painted, self.contrast.expected(crops, fill_in(crops)), crops)
        return scaling.to_dn(painted)

    @torch.no_grad()
    def sampled(self, crops: Crops, noise: npt.NDArray[np.float32], steps: int, strength: float) -> Array:
        """Return scaled bands (N, C, S, S) of painted crops; see `__call__`."""
        filled = fill_in(crops)
        if strength < 1:
            noise = self.noise.shaped(noise, self.contrast.relief(crops), strength)
        ground, label, edit, sample = (
            torch.from_numpy(array).to(self.device) for array in (filled, crops.label, crops.edit, noise)
        )
        self.scheduler.set_timesteps(steps, device=self.device)
        for timestep in self.scheduler.timesteps:
            velocity = self.unet(network_input(sample, ground, label, edit), timestep).sample
            (sample, *_) = self.scheduler.step(velocity, timestep, sample, return_dict=False)
        return self.contrast.restore(sample.cpu().numpy(), crops, filled)


def new_pipeline(
    bands: tuple[str, ...], scaling: Scaling, contrast: Contrast, noise: NoiseMix, crop: int, channels: tuple[int, ...]
) -> NativeInpaintPipeline:
    """Return an untrained pipeline; its weights come from torch's generator."""
    unet = UNet2DModel(
        sample_size=crop,
        in_channels=2 * len(bands) + 2,
        out_channels=len(bands),
        block_out_channels=channels,
        down_block_types=("DownBlock2D",) * len(channels),
        up_block_types=("UpBlock2D",) * len(channels),
        layers_per_block=1,
        norm_num_groups=8,
    )
    unet.to(memory_format=torch.channels_last)
    scheduler = DDIMScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
    )
    constants: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in (scaling._asdict() | contrast._asdict() | noise._asdict()).items()
    }
    return NativeInpaintPipeline(unet, scheduler, bands=list(bands), crop=crop, **constants)


def load_pipeline(folder: Path) -> NativeInpaintPipeline:
    """Return a saved pipeline, on the GPU if there is one, to be sampled with DPM-Solver++.

    Its 8 steps paint as well as 25 of DDIM (Lu et al. 2022, arXiv 2211.01095).
    """
    logging.disable_progress_bar()
    pipeline = NativeInpaintPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++", timestep_spacing="trailing"
    )
    require_finite(pipeline.unet, folder)
    pipeline.unet.to(memory_format=torch.channels_last)
    return pipeline.to(compute_device())


def network_input(noisy: torch.Tensor, ground: torch.Tensor, label: torch.Tensor, edit: torch.Tensor) -> torch.Tensor:
    """Stack what the network sees, float32 (N, 2 C + 2, S, S).

    Args:
        noisy: noisy whitened difference to the ground (N, C, S, S).
        ground: scaled bands (N, C, S, S) with the edit area filled in.
        label: 1 where fire shall be (N, 1, S, S).
        edit: 1 where to paint (N, 1, S, S).
    """
    return torch.cat([noisy * edit, label, edit, ground], dim=1)
