"""How windows are painted: noise levels, number formats, what isn't a number, masked content, full batches."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from pydantic import ValidationError

from firefusion_assets.core import seeding
from firefusion_assets.engines.contract import DamagedModelError
from firefusion_assets.engines.stable_diffusion.base_model import DTYPES, load_base, load_base_of
from firefusion_assets.engines.stable_diffusion.enlarging import enlarge
from firefusion_assets.engines.stable_diffusion.families import networks
from firefusion_assets.engines.stable_diffusion.latents import decoded, encoded
from firefusion_assets.engines.stable_diffusion.painter import load_pipeline
from firefusion_assets.engines.stable_diffusion.sampling import WindowSampler
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.study.augmentation import Sampling, Scheduler
from firefusion_assets_tests.builders.finetuning import generator

FACTOR = 4


def sampler(pipeline: StableDiffusionInpaintPipeline, **sampling: Any) -> WindowSampler:
    values = {"images": 1, "steps": 2, "guidance_scale": 1} | sampling
    return WindowSampler(pipeline, Sampling.model_validate(values), FACTOR, "fire")


def windows(n: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], range]:
    rng = np.random.default_rng(4)
    masks = np.zeros((n, 16, 16), bool)
    masks[:, 5:11, 4:12] = True
    return rng.uniform(-0.9, 0.9, (n, 3, 16, 16)).astype(np.float32), masks, range(n)


@pytest.mark.parametrize("scheduler", get_args(Scheduler))
def test_painting_begins_at_pure_noise_and_never_cuts_latents(base: Path, scheduler: str) -> None:
    """Whatever the base model leaves out: some lack `clip_sample`, whose default is meant for pixels."""
    pipeline = load_base(base, None)
    bare = {name: pipeline.scheduler.config[name] for name in ("beta_start", "beta_end", "beta_schedule")}
    pipeline.scheduler = type(pipeline.scheduler).from_config(bare)
    assert pipeline.scheduler.config.clip_sample and pipeline.scheduler.config.set_alpha_to_one
    sampler(pipeline, scheduler=scheduler)
    config = pipeline.scheduler.config
    assert not config.get("clip_sample") and not config.get("set_alpha_to_one")
    pipeline.scheduler.set_timesteps(8)
    assert pipeline.scheduler.timesteps[0] >= 998
    sampler(pipeline, scheduler=scheduler, timestep_spacing="leading")
    pipeline.scheduler.set_timesteps(8)
    assert pipeline.scheduler.timesteps[0] < 900 or scheduler.endswith("karras")  # whose levels are Karras' own


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_half_precision_leaves_as_many_values_as_float32(base: Path, precision: str) -> None:
    """A VAE in bfloat16 leaves about a quarter of them."""
    painted = {}
    for name in ("no", precision):
        sampling = Sampling.model_validate({"images": 1, "mixed_precision": name})
        pipeline = load_pipeline(StableDiffusionGenerator(engine="stable-diffusion"), base, sampling)
        assert pipeline.unet.dtype == pipeline.text_encoder.dtype == DTYPES[name]
        painted[name] = sampler(pipeline, mixed_precision=name)(*windows(6))
    assert len(np.unique(painted[precision])) > 0.98 * len(np.unique(painted["no"]))
    assert 0 < np.abs(painted[precision] - painted["no"]).mean() < 0.1 or precision == "tf32"


def test_a_model_whose_weights_are_no_numbers_is_refused(base: Path, tmp_path: Path) -> None:
    pipeline = load_base(base, None)
    with torch.no_grad():
        next(pipeline.unet.parameters())[0] = torch.nan
    pipeline.save_pretrained(tmp_path)
    with pytest.raises(DamagedModelError, match=str(tmp_path)):
        load_pipeline(StableDiffusionGenerator(engine="stable-diffusion"), tmp_path, Sampling(images=1))


@pytest.mark.parametrize("always", [False, True])
def test_what_half_precision_cannot_hold_is_painted_in_float32(family: dict[str, str], always: bool) -> None:
    """The network gives no numbers for two of five windows: in half precision only, or always."""
    images, masks, seeds = windows(5)
    order = [[0, 1], [0, 1], [2, 3], [2, 3], [4], [4], [1, 4], [1, 4]]  # two steps each
    pipeline = load_base_of(generator(**family))
    for network in networks(pipeline):
        network.to(torch.bfloat16)
    calls: list[tuple[torch.dtype, int]] = []

    def overflow(unet: torch.nn.Module, arguments: Any, output: tuple[torch.Tensor]) -> None:
        inputs = arguments[0]
        lost = torch.tensor([number in (1, 4) for number in order[len(calls)]])
        calls.append((inputs.dtype, len(inputs)))
        if always or inputs.dtype != torch.float32:
            output[0][lost] = float("nan")

    pipeline.unet.register_forward_hook(overflow)
    painted = sampler(pipeline, batch_size=2)(images, masks, seeds)
    kept = [0, 2, 3]
    assert {network.dtype for network in networks(pipeline)} == {torch.bfloat16}
    assert calls == [(torch.bfloat16 if n < 6 else torch.float32, len(numbers)) for n, numbers in enumerate(order)]
    assert np.isfinite(painted[kept]).all()
    if always:
        assert np.isnan(painted[[1, 4]]).all()
        return
    rounded = load_base_of(generator(**family))
    for network in networks(rounded):
        network.to(torch.bfloat16).float()
    plain = sampler(rounded, batch_size=2)(images[[1, 4]], masks[[1, 4]], [1, 4])
    np.testing.assert_array_equal(painted[[1, 4]], plain)


def test_a_compiled_network_sees_one_size_of_batch(base: Path) -> None:
    sizes: dict[bool, list[int]] = {}
    painted = {}
    for compiled in (True, False):
        pipeline, sizes[compiled] = load_base(base, None), []
        pipeline.unet.register_forward_pre_hook(
            lambda unet, arguments, seen=sizes[compiled]: seen.append(len(arguments[0]))
        )
        painted[compiled] = sampler(pipeline, batch_size=4, compile=compiled, steps=1)(*windows(6))
    assert sizes == {True: [4, 4], False: [4, 2]}
    assert painted[True].shape == (6, 3, 16, 16)
    np.testing.assert_allclose(painted[True], painted[False], atol=1e-5)


@pytest.mark.parametrize("content", ["original", "fill", "latent-nothing"])
def test_masked_content_is_what_the_first_step_adds_noise_to(base: Path, content: str) -> None:
    """The left half of even ground is known, the right half is painted."""
    window = np.full((1, 3, 16, 16), 0.5, np.float32)
    window[..., 8:] = -0.25
    mask = window[:, 0] < 0
    pipeline, seen = load_base(base, None), list[torch.Tensor]()
    pipeline.unet.register_forward_pre_hook(lambda unet, arguments: seen.append(arguments[0][:, :4].clone()))
    sampler(pipeline, masked_content=content, strength=0.5, steps=4)(window, mask, [3])

    image = enlarge(torch.from_numpy(window if content != "fill" else np.full_like(window, 0.5)), FACTOR)
    with torch.no_grad():
        start = encoded(pipeline.vae, image)
    if content == "latent-nothing":
        start[..., 4:] = 0
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seeding.derive_seed(3, "noise")))
    alpha = float(np.prod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000)[:500] ** 2))  # trailing: half of 1000
    torch.testing.assert_close(seen[0], alpha**0.5 * start + (1 - alpha) ** 0.5 * noise, atol=1e-4, rtol=1e-4)


def test_masked_content_without_effect_is_refused() -> None:
    with pytest.raises(ValidationError, match="makes no difference with strength 1"):
        Sampling(masked_content="fill")


def test_the_vae_takes_one_image_at_a_time(base: Path) -> None:
    """At 512 px an image needs GiB of its activations, so a large batch wouldn't fit."""
    vae, sizes = load_base(base, None).vae, list[int]()
    vae.decoder.register_forward_pre_hook(lambda module, arguments: sizes.append(len(arguments[0])))
    vae.encoder.register_forward_pre_hook(lambda module, arguments: sizes.append(len(arguments[0])))
    with torch.no_grad():
        decoded(vae, encoded(vae, torch.zeros(3, 3, 64, 64)))
    assert sizes == [1] * 6


def test_the_vae_stays_in_float32_under_autocast(base: Path) -> None:
    vae, images = load_base(base, None).vae, torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        plain = decoded(vae, encoded(vae, images))
        with torch.autocast("cpu", torch.bfloat16):
            again = decoded(vae, encoded(vae, images).to(torch.float32))
    assert torch.equal(plain, again)
