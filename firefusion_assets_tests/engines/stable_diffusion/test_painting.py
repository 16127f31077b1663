"""Engine `stable-diffusion`: what it learns from, its loss, its painting, and what is told before any work."""

import shutil
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import huggingface_hub.constants
import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from diffusers import AutoPipelineForInpainting, ControlNetModel, DDIMScheduler
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firefusion_assets.artifacts.hashes import folder_hash
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.core import seeding
from firefusion_assets.engines.stable_diffusion.base_model import load_base, load_base_of
from firefusion_assets.engines.stable_diffusion.encoded_views import Examples, Noised, ViewStream, enlarged
from firefusion_assets.engines.stable_diffusion.network import denoising_loss
from firefusion_assets.engines.stable_diffusion.sampling import WindowSampler
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.engines.stable_diffusion.stretch import fit_stretch
from firefusion_assets.engines.stable_diffusion.views import FireViews, GroundViews, random_mask
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.steps.preflight import check_before_work
from firefusion_assets.study import StudyError, load_augmentation, load_study
from firefusion_assets.study.augmentation import Sampling, Scheduler
from firefusion_assets.study.engine import Painter
from firefusion_assets_tests.builders.fitting import fit
from firefusion_assets_tests.builders.painting import Mask, dilated_slowly, fires, paint_fires
from firefusion_assets_tests.builders.parts import BANDS
from firefusion_assets_tests.builders.pipelines import save_tiny_pipeline, save_tiny_xl_pipeline
from firefusion_assets_tests.builders.studies import TINY_STUDY, asset_key, loaded, write_study

SIZE = 32
FIRE, FILL = 60000, 1
"""Of B7, in the patches of `marked`: nothing else has these values."""


def generator(**changes: Any) -> StableDiffusionGenerator:
    defaults = {"engine": "stable-diffusion", "method": "none", "crop": 16, "resolution": 64}
    return StableDiffusionGenerator.model_validate(defaults | changes)


# --- views ---


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> PatchPart:
    """Patches whose fires and ignored pixels can be told by their DN, wherever a view has turned them to."""
    folder, rng = tmp_path_factory.mktemp("marked"), np.random.default_rng(2)
    with PatchWriter(folder, StoreMeta(study="t", bands=BANDS, patch_size=SIZE)) as writer:
        for number in range(5):
            bands = rng.integers(7000, 12000, (4, SIZE, SIZE), np.uint16)
            label, ignore = np.zeros((2, SIZE, SIZE), bool)
            if number < 4:
                label[6 * number + 3 : 6 * number + 6, 8:20] = rng.random((3, 12)) < 0.5
                label[27, 28] = True
                ignore[:, 12:15] = number % 2 == 0
            label &= ~ignore
            bands[3, label], bands[3, ignore] = FIRE, FILL
            writer.add_patch(f"p{number}", Patch(bands, label, ignore))
    return PatchPart(Patches(folder), [f"p{number}" for number in range(5)])


def dilation(dn: npt.NDArray[np.uint16], mask: Mask) -> tuple[int, bool] | None:
    """Return by how many px a mask is larger than a view's fire, and whether it is all of that; None if it isn't."""
    for px in range(1, 5):
        whole = dilated_slowly(dn[0] == FIRE, px) & (dn[0] != FILL)
        if np.array_equal(mask, whole):
            return px, True
        for plane, part in ((whole, mask), (whole.T, mask.T)):
            columns = np.flatnonzero(part.any(axis=0))
            first, last = plane.copy(), plane.copy()
            first[:, columns.max() + 1 :], last[:, : columns.min()] = False, False
            if np.array_equal(part, first) or np.array_equal(part, last):
                return px, False
    return None


def test_annotated_masks_hide_the_fire_and_a_little_around_it(marked: PatchPart) -> None:
    views = FireViews(marked, generator(training_masks="annotated", mask_variants=64))
    assert len(views) == 4 * 64
    seen = [views[number] for number in range(len(views))]
    assert all(view.dn.shape == (3, 16, 16) and (view.dn[0] == FIRE).any() for view in seen)
    found = [dilation(view.dn, view.mask) for view in seen]
    assert set(found) == {(px, whole) for px in (1, 2, 3, 4) for whole in (True, False)}
    # A fire that is partly painted already is seen too, as in overlapping windows.
    partial = [view for view, kind in zip(seen, found, strict=True) if not kind[1]]
    assert 0.15 < len(partial) / len(seen) < 0.3
    assert np.mean([((view.dn[0] == FIRE) & ~view.mask).any() for view in partial]) > 0.5
    assert any((view.dn[0] == FILL).any() for view in seen)


def is_rectangle_or_ellipse(mask: Mask) -> str | None:
    """Tell the kind of a mask: its bounding box, or the pixels whose centres the ellipse in that box holds."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if box.all():
        return "rectangle"
    height, width = box.shape
    for row in range(height):
        for column in range(width):
            y, x = (2 * row + 1) / height - 1, (2 * column + 1) / width - 1
            if box[row, column] != (y * y + x * x <= 1):
                return None
    return "ellipse"


@pytest.mark.parametrize("size", [8, 32, 256])
def test_random_masks_are_rectangles_and_ellipses_of_the_window(size: int) -> None:
    masks = [random_mask(size, np.random.default_rng(seed)) for seed in range(60)]
    assert {is_rectangle_or_ellipse(mask) for mask in masks} == {"rectangle", "ellipse"}
    for mask in masks:
        assert mask.shape == (size, size)
        for side in (mask.any(0).sum(), mask.any(1).sum()):
            assert 0.2 * size - 1 < side < 0.7 * size + 1


def test_mixed_masks_are_half_of_each_kind(marked: PatchPart) -> None:
    views = FireViews(marked, generator(training_masks="mixed", mask_variants=8))
    seen = [views[number] for number in range(len(views))]
    annotated = [dilation(view.dn, view.mask) is not None for view in seen]
    assert sum(annotated) == len(seen) / 2
    for view, of_fire in zip(seen, annotated, strict=True):
        assert of_fire or is_rectangle_or_ellipse(view.mask)
    random = FireViews(marked, generator(training_masks="random"))
    assert all(is_rectangle_or_ellipse(random[number].mask) for number in range(len(random)))


@pytest.mark.parametrize("kind", ["annotated", "random", "mixed"])
def test_a_view_follows_from_seed_and_number(marked: PatchPart, kind: str) -> None:
    views, again, other = (FireViews(marked, generator(training_masks=kind, seed=seed)) for seed in (5, 5, 6))
    differ = 0
    for number in reversed(range(len(views))):
        for left, right in zip(views[number], again[number], strict=True):
            np.testing.assert_array_equal(left, right)
        differ += not np.array_equal(views[number].dn, other[number].dn)
    assert differ > len(views) / 2


def test_class_images_are_made_on_ground_without_fire(marked: PatchPart) -> None:
    views = GroundViews(marked, generator(), 12)
    assert len(views) == 12
    assert all(
        (views[number].dn[0] != FIRE).all() and is_rectangle_or_ellipse(views[number].mask) for number in range(12)
    )


@pytest.mark.parametrize(("area", "crop"), [("patch", 64), ("crop", 8), ("crop", 32)])
def test_windows_of_any_size_hold_a_fire(marked: PatchPart, area: str, crop: int) -> None:
    views = FireViews(marked, generator(area=area, crop=crop))
    expected = SIZE if area == "patch" else crop
    assert all((views[number].dn[0] == FIRE).any() for number in range(len(views)))
    assert all(views[number].mask.shape == (expected, expected) for number in range(len(views)))


@pytest.mark.parametrize("kind", ["annotated", "random"])
def test_what_is_known_of_a_view_tells_nothing_of_what_is_hidden(marked: PatchPart, kind: str) -> None:
    stretch, views = (
        fit_stretch("asinh", marked, ("B7", "B6", "B2"), 1),
        FireViews(marked, generator(training_masks=kind)),
    )
    for view in (views[number] for number in range(len(views))):
        image, known, hidden, around = enlarged(view, stretch, 4)
        changed = enlarged(view._replace(dn=np.where(view.mask, np.uint16(9), view.dn)), stretch, 4)
        assert torch.equal(known, changed.known) and not torch.equal(image, changed.image)
        assert torch.equal(around, changed.around)
        np.testing.assert_array_equal(around[3].numpy(), view.mask)
        assert not known[hidden.expand_as(known)].any()
        far = torch.from_numpy(np.kron(~dilated_slowly(view.mask, 2), np.ones((4, 4), bool)))
        assert torch.equal(known[:, far], image[:, far])
        np.testing.assert_array_equal(hidden[0, ::4, ::4].numpy(), view.mask)


def test_what_is_drawn_does_not_depend_on_the_batch() -> None:
    latents = torch.arange(3 * 4.0).reshape(3, 4, 1, 1).expand(3, 4, 8, 8)
    examples = Examples(latents, torch.ones_like(latents), latents + 100, latents[:, :1] / 12, torch.zeros(3, 4, 4, 4))
    stream, other = (ViewStream(examples, 7, name) for name in ("fires", "class"))
    cpu = torch.device("cpu")
    large, drawn = stream.batch(5, 4, 1000, cpu)
    singles = [stream.batch(position, 1, 1000, cpu) for position in (8, 7, 6, 5)][::-1]
    for number, (single, single_drawn) in enumerate(singles):
        for left, right in zip((*large, *drawn), (*single, *single_drawn), strict=True):
            assert torch.equal(left[number], right[0])
    assert not torch.equal(other.batch(5, 4, 1000, cpu)[1].noise, drawn.noise)
    passes = [sorted(stream.batch(3 * n, 3, 1000, cpu)[0].known[:, 0, 0, 0].tolist()) for n in range(4)]
    assert passes == [[100, 104, 108]] * 4
    _, many = stream.batch(0, 400, 1000, cpu)
    assert abs(many.noise.mean()) < 0.02 and abs(many.noise.std() - 1) < 0.02
    assert abs((many.dropping < 0.1).float().mean() - 0.1) < 0.04
    assert many.timesteps.min() < 20 and many.timesteps.max() in range(980, 1000)


# --- loss ---


class Mixing(torch.nn.Module):
    """A network of which each input shows in the prediction."""

    def forward(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, examples: Examples, text: tuple[torch.Tensor]
    ) -> torch.Tensor:
        shift = timesteps[:, None, None, None] / 1000 + text[0].mean(dim=(1, 2))[:, None, None, None]
        return 0.5 * noisy + 0.25 * examples.mask - 0.125 * examples.known + shift


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("area", ["edit", "latent"])
@pytest.mark.parametrize("gamma", [None, 0.5, 5.0])
def test_the_loss_is_that_of_its_equation(kind: str, area: str, gamma: float | None) -> None:
    n, side = 5, 3
    rng = np.random.default_rng(1)
    mean, noise, known = rng.normal(size=(3, n, 4, side, side))
    mask, text = rng.random((n, 1, side, side)) ** 3, rng.normal(size=(n, 2, 6))
    mask[0] = 0  # hidden is only fill
    timesteps = [0, 30, 300, 700, 999]

    expected = []
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    for i, t in enumerate(timesteps):
        alpha = float(np.prod(1 - betas[: t + 1]))
        total = weights = 0.0
        for y in range(side):
            for x in range(side):
                error = 0.0
                for c in range(4):
                    noisy = alpha**0.5 * mean[i, c, y, x] + (1 - alpha) ** 0.5 * noise[i, c, y, x]
                    predicted = 0.5 * noisy + 0.25 * mask[i, 0, y, x] - 0.125 * known[i, c, y, x]
                    predicted += t / 1000 + text[i].mean()
                    velocity = alpha**0.5 * noise[i, c, y, x] - (1 - alpha) ** 0.5 * mean[i, c, y, x]
                    error += (predicted - (noise[i, c, y, x] if kind == "epsilon" else velocity)) ** 2 / 4
                weight = mask[i, 0, y, x] if area == "edit" else 1
                total, weights = total + weight * error, weights + weight
        loss = total / weights if weights else 0.0
        if gamma is not None:
            snr = alpha / (1 - alpha)
            loss *= min(snr, gamma) / (snr if kind == "epsilon" else snr + 1)
        expected.append(loss)

    values = [torch.from_numpy(array).float() for array in (mean, noise, known, mask, text)]
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=kind
    )  # fmt: skip
    examples = Examples(values[0], torch.zeros_like(values[0]), values[2], values[3], torch.zeros(n, 4, side, side))
    drawn = Noised(values[0], values[1], torch.tensor(timesteps), torch.zeros(n))
    losses = denoising_loss(
        Mixing(), scheduler, examples, drawn, (values[4],), generator(loss_area=area, snr_gamma=gamma)
    )  # fmt: skip
    np.testing.assert_allclose(losses.numpy(), expected, rtol=2e-4, atol=1e-7)


# --- painting ---


@pytest.fixture(scope="module")
def models(base: Path, part: PatchPart, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Path]]:
    """Pretrained models by the settings that painting depends on."""
    fitted = {}
    for area in ("crop", "patch"):
        for companions in ("regressed", "background"):
            folder = tmp_path_factory.mktemp("model")
            chosen = generator(base_model=str(base), area=area, companion_bands=companions)
            assert fit(chosen, part, folder) == {"n_views": 0}
            fitted[f"{area} {companions}"] = chosen, folder
    return fitted


def assert_painted_inside_alone(painted: npt.NDArray[np.uint16], backgrounds: Any, edits: Mask, bands: Any) -> None:
    inside = np.broadcast_to(edits[:, None], painted.shape)
    np.testing.assert_array_equal(painted[~inside], backgrounds[~inside])
    assert painted.dtype == np.uint16 and painted[inside].min() >= 1
    for patch, background, edit in zip(painted, backgrounds, edits, strict=True):
        for band in bands:
            assert (patch[band] != background[band])[edit].mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("model", ["crop regressed", "crop background", "patch regressed", "patch background"])
@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"strength": 0.5, "steps": 4},
        {"guidance_scale": 1},
        {"prompts": ["a", "wildfire"], "negative_prompts": ["cloud", "b"]},
        {"batch_size": 1, "attention_slicing": True, "channels_last": True},
        {"mixed_precision": "bf16"},
    ],
)
def test_nothing_changes_outside_the_edit_mask(
    models: dict[str, tuple[Any, Path]], part: PatchPart, model: str, sampling: dict[str, Any]
) -> None:
    painted, backgrounds, edits = paint_fires(*models[model], part, **sampling)
    composite = [BANDS.index(band) for band in ("B7", "B6", "B2")]
    assert_painted_inside_alone(painted, backgrounds, edits, composite)
    labels, _ = fires()
    other = painted[:, BANDS.index("B5")] != backgrounds[:, BANDS.index("B5")]
    expected = labels if "regressed" in model else np.zeros_like(labels)
    np.testing.assert_array_equal(other, other & expected)
    assert other[expected].mean() > 0.9 if expected.any() else True


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", get_args(Scheduler))
def test_every_sampler_paints(models: dict[str, tuple[Any, Path]], part: PatchPart, scheduler: str) -> None:
    for sampling in ({"steps": 3}, {"steps": 4, "strength": 0.5}):
        painted, backgrounds, edits = paint_fires(*models["crop regressed"], part, scheduler=scheduler, **sampling)
        assert_painted_inside_alone(painted, backgrounds, edits, [BANDS.index("B7")])
    plain = paint_fires(*models["crop regressed"], part, steps=4, strength=0.5)[0]
    assert scheduler == "ddim" or not np.array_equal(painted, plain)


@pytest.mark.slow
def test_bytes_follow_from_the_chunk_alone(models: dict[str, tuple[Any, Path]], part: PatchPart) -> None:
    settings, folder = models["crop regressed"]
    sampling = Sampling(images=1, steps=2, batch_size=3, scheduler="euler-a", prompts=("a", "b"))
    labels, edits = fires()
    backgrounds = np.stack([part.read(name).bands for name in ("free-1", "free-2")])

    def paint(painter: Painter, seeds: list[int]) -> npt.NDArray[np.uint16]:
        return painter.paint(backgrounds, labels, edits, np.array(seeds))

    painter = settings.load(folder, sampling)
    first, other, again = (paint(painter, seeds) for seeds in ([1, 2], [3, 4], [1, 2]))
    torch.manual_seed(99)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, paint(settings.load(folder, sampling), [1, 2]))
    for patch, seeded, edit in zip(first, other, edits, strict=True):
        assert (patch != seeded)[3][edit].mean() > 0.9


@pytest.mark.parametrize("area", ["crop", "patch"])
def test_what_lies_below_a_mask_is_not_seen(models: dict[str, tuple[Any, Path]], part: PatchPart, area: str) -> None:
    """At full strength; what is less keeps some of it. Beside the label paint fades into what lay there."""
    labels, edits = fires()
    backgrounds = np.stack([part.read(name).bands for name in ("free-1", "free-2")])
    hot = np.where(edits[:, None], np.uint16(50000), backgrounds)
    chosen, folder = models[f"{area} regressed"]
    painter = chosen.load(folder, Sampling(images=1, steps=2))
    painted, on_hot = (painter.paint(ground, labels, edits, np.array([1, 2])) for ground in (backgrounds, hot))
    for band in ("B7", "B6", "B2"):
        np.testing.assert_array_equal(painted[:, BANDS.index(band)][labels], on_hot[:, BANDS.index(band)][labels])


@st.composite
def masks(draw: st.DrawFn) -> tuple[Mask, Mask]:
    """A label, possibly empty or at a border, and an edit mask that holds it."""
    label = np.zeros((SIZE, SIZE), bool)
    for _ in range(draw(st.integers(0, 3))):
        top, left = draw(st.integers(0, SIZE - 1)), draw(st.integers(0, SIZE - 1))
        label[top : top + draw(st.integers(1, SIZE)), left : left + draw(st.integers(1, 6))] = True
    return label, dilated_slowly(label, draw(st.integers(0, 4))) if draw(st.booleans()) else label | (label.T)


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    pairs=st.lists(masks(), min_size=1, max_size=3), seed=st.integers(0, 2**62), name=st.sampled_from(["crop", "patch"])
)
def test_any_mask_is_painted_and_nothing_else(
    models: dict[str, tuple[Any, Path]], pairs: list[tuple[Mask, Mask]], seed: int, name: str
) -> None:
    rng = np.random.default_rng(seed)
    backgrounds = rng.integers(0, 65535, (len(pairs), 4, SIZE, SIZE), np.uint16, endpoint=True)
    before = backgrounds.copy()
    labels, edits = (np.stack(planes) for planes in zip(*pairs, strict=True))
    chosen, folder = models[f"{name} regressed"]
    painter = chosen.load(folder, Sampling(images=1, steps=1, guidance_scale=1))
    painted = painter.paint(backgrounds, labels, edits, np.arange(len(pairs)) + seed)
    np.testing.assert_array_equal(backgrounds, before)
    inside = np.broadcast_to(edits[:, None], painted.shape)
    np.testing.assert_array_equal(painted[~inside], backgrounds[~inside])
    assert (painted[inside] >= 1).all()


@pytest.mark.parametrize("negative", [None, "ice"])
@pytest.mark.parametrize("guidance", [1, 7.5])
def test_a_window_is_painted_as_a_plain_call_of_the_pipeline_paints_it(
    family: dict[str, str], guidance: float, negative: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With masks of whole latent cells, where shares don't matter, and ground of even colour."""
    if "controlnet" in family:  # whose call draws what is known from the VAE; without variance that is its mean
        monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean)
    sampling = Sampling(
        images=1, steps=3, batch_size=2, guidance_scale=guidance, prompts=("fire",),
        negative_prompts=() if negative is None else (negative,),
    )  # fmt: skip
    windows = np.tile(np.linspace(-0.8, 0.8, 6, dtype=np.float32).reshape(2, 3, 1, 1), (1, 1, 8, 8))
    hidden = np.zeros((2, 8, 8), bool)
    hidden[0, 2:5, 1:7] = hidden[1, 0, 0] = True
    painted = WindowSampler(load_base_of(generator(**family)), sampling, 8, "not used")(windows, hidden, [21, 22])

    parts = {}
    if "controlnet" in family:
        parts["controlnet"] = ControlNetModel.from_pretrained(family["controlnet"])
    pipeline = AutoPipelineForInpainting.from_pretrained(family["base_model"], **parts)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
    for number, seed in enumerate((21, 22)):
        image = torch.from_numpy(windows[number : number + 1]).expand(1, 3, 8, 8).repeat(1, 1, 8, 8)
        mask = torch.from_numpy(np.kron(hidden[number], np.ones((8, 8), np.float32)))[None, None]
        with torch.no_grad():
            known = pipeline.vae.encode(image * (mask < 0.5)).latent_dist.mode() * pipeline.vae.config.scaling_factor
        if "controlnet" in family:
            told = {"control_image": torch.where(mask > 0.5, -1, (image + 1) / 2)}
        else:
            told = {"masked_image_latents": known}
        plain = pipeline(
            "fire",
            image=(image + 1) / 2,
            mask_image=mask,
            **told,
            height=64,
            width=64,
            strength=1,
            num_inference_steps=3,
            guidance_scale=guidance,
            negative_prompt=negative,
            generator=torch.Generator().manual_seed(seeding.derive_seed(seed, "noise")),
            output_type="latent",
        ).images
        with torch.no_grad():
            (image,) = pipeline.vae.decode(plain / pipeline.vae.config.scaling_factor).sample.numpy()
        expected = image.reshape(3, 8, 8, 8, 8).mean(axis=(2, 4))
        np.testing.assert_allclose(painted[number], expected, atol=1e-4)


def test_the_network_is_told_of_a_single_pixel(base: Path) -> None:
    """A fire pixel, enlarged by 4, is a quarter of a latent cell wherever in the cell it lies."""
    pipeline, seen = load_base(base, None), list[torch.Tensor]()
    pipeline.unet.register_forward_pre_hook(lambda unet, arguments: seen.append(arguments[0][:, 4].clone()))
    sampler = WindowSampler(pipeline, Sampling(images=1, steps=1, guidance_scale=1), 4, "fire")
    hidden = np.zeros((4, 16, 16), bool)
    for number, (y, x) in enumerate(((6, 4), (6, 5), (7, 4), (7, 5))):
        hidden[number, y, x] = True
    sampler(np.zeros((4, 3, 16, 16), np.float32), hidden, range(4))
    expected = torch.zeros(4, 8, 8)
    expected[:, 3, 2] = 0.25
    assert len(seen) == 1 and torch.equal(seen[0], expected)


# --- what a model is made from, and what is told before any work ---

CONFIG = "generator: {engine: stable-diffusion, crop: 16, resolution: 64, %s}\nsampling: {images: 2}"


def lineage_of(folder: Path) -> Lineage:
    """A lineage whose patches seem to be made; it remembers nothing of earlier ones."""
    lineage = Lineage(folder, ArtifactStore(folder / "artifacts"))
    artifact = lineage.store.build("landsat_patches", lineage.raw_fingerprint([]), lambda work: {"raw_input": []})
    lineage.store.point("landsat_patches", "_", artifact)
    return lineage


def test_a_local_model_counts_by_its_contents_and_a_hub_id_by_its_revision(base: Path, tmp_path: Path) -> None:
    def fingerprint(model: str) -> str:
        file.write_text(CONFIG % model)
        return lineage_of(study).fingerprint("finetuned_model", "sd")

    study = write_study(tmp_path / "study", configs={"sd": ""})
    file = study / "augmentations" / "sd.yaml"
    shutil.copytree(base, study / "model")
    original = fingerprint("base_model: model")
    assert fingerprint("base_model: ./model") == original
    (study / "model").rename(tmp_path / "moved")
    assert fingerprint(f"base_model: {tmp_path / 'moved'}") == original
    assert fingerprint(f"base_model: {tmp_path / 'moved'}, revision: v2") == original
    weights = tmp_path / "moved" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert fingerprint(f"base_model: {tmp_path / 'moved'}") != original
    hub = {fingerprint(f"base_model: {model}") for model in ("a/b", "a/b, revision: v2", "a/c")}
    assert len(hub | {original}) == 4
    assert fingerprint("base_model: a/b, revision: main") == fingerprint("base_model: a/b")
    controlled = {
        fingerprint(f"base_model: a/b, controlnet: {name}") for name in ("c/d", "c/e", "c/d, controlnet_revision: v2")
    }
    assert len(controlled | {fingerprint("base_model: a/b")}) == 4


def test_a_hash_of_a_folder_is_remembered_and_notices_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files_read() -> int:
        """Hash the folder, and count the files whose contents were read for it."""
        opened: list[Path] = []
        plain = Path.open
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", lambda path, *rest, **kw: (opened.append(path), plain(path, *rest, **kw))[1])
            hashes.append(folder_hash(folder, memory))
        return sum(path.is_relative_to(folder) for path in opened)

    folder, memory, hashes = tmp_path / "model", tmp_path / "store" / "hashes.json", list[str]()
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights").write_bytes(b"123")
    (folder / "config").write_bytes(b"456")
    assert [files_read(), files_read()] == [2, 0]
    (folder / "unet" / "weights").write_bytes(b"1234")
    assert files_read() == 1
    (folder / "config").rename(folder / "settings")
    assert files_read() == 1
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_bytes(b"")
    assert files_read() == 0 and hashes[-1] == hashes[-2]


def test_all_that_is_wrong_with_a_config_is_told_at_once(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", configs={"sd": """
generator:
  engine: stable-diffusion
  base_model: ./text-to-image
  method: lora
  crop: 16
  resolution: 100
  prior_preservation: {num_class_images: 4}
sampling: {images: 8, max_tries: 4, scheduler: plms}
"""})  # fmt: skip
    save_tiny_pipeline(study / "text-to-image", in_channels=4)
    with pytest.raises(StudyError) as error:
        load_augmentation(study, "sd", load_study(study))
    problems = sorted(error.value.problems)
    file = str(study / "augmentations" / "sd.yaml")
    assert all(problem.startswith(f"{file}:") for problem in problems)
    for problem, words in zip(
        sorted(problem.removeprefix(file).lstrip(":0123456789 ") for problem in problems),
        [
            ("generator.base_model: ", "text-to-image is no inpainting model: its U-Net takes 4 channels, not 9"),
            ("generator.prior_preservation.class_prompt: missing; add it",),
            ("generator.resolution: ", "multiple of 8", "100"),
            ("sampling.max_tries: ", "less than images (8)"),
            ("sampling.scheduler: ", "dpmsolver++", "plms"),
        ],
        strict=True,
    ):
        assert all(word in problem for word in words), problem


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("resolution: 72", r"resolution: 72 is not a multiple of crop \(16\)"),
        ("method: lora, train_text_encoder: true", "train_text_encoder: needs method dreambooth, not lora"),
        ("lora: {rank: 4}", "lora: needs method lora, not dreambooth"),
        ("method: none, prior_preservation: {class_prompt: land}", "prior_preservation: method none doesn't train"),
        ("lr_warmup_steps: 5", "lr_scheduler constant has no warm-up"),
        ("composite: [B7, B6, B99]", "generator.composite: B99 not among dataset.bands"),
        ("area: patch, resolution: 104", r"generator.resolution: 104 is not a multiple of the window \(32 px\)"),
        ("base_model: ./nowhere", "generator.base_model: .*nowhere holds no model_index.json"),
        ("controlnet: ./nowhere", "generator.controlnet: .*nowhere holds no config.json"),
        (
            "base_model: ./xl, train_text_encoder: true",
            "generator.base_model: .*xl is SDXL.*leave train_text_encoder out",
        ),
        ("controlnet: a/b, method: lora, lora: {merge: false}", "lora.merge: adapters alone .* without the controlnet"),
    ],
)
def test_settings_that_do_not_go_together(tmp_path: Path, changes: str, expected: str) -> None:
    values = {"engine": "stable-diffusion", "crop": 16, "resolution": 64} | yaml.safe_load(f"{{{changes}}}")
    config = yaml.safe_dump({"generator": values, "sampling": {"images": 2}})
    study = write_study(tmp_path / "study", configs={"sd": config})
    if "./xl" in changes:
        save_tiny_xl_pipeline(study / "xl")
    with pytest.raises(StudyError, match=expected):
        load_augmentation(study, "sd", load_study(study))


def test_a_model_that_the_hub_does_not_give_fails_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    study = write_study(tmp_path / "study", configs={"sd": CONFIG % "base_model: nobody/nothing"})
    result = dg.materialize(
        [loaded(study, monkeypatch).resolve_assets_def(asset_key("augmentation_config"))],
        partition_key="sd",
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    message = str(failure.step_failure_data.user_failure_data)
    assert "sd.yaml: generator.base_model: 'nobody/nothing' (revision 'main') can't be had" in message


def test_what_this_machine_cannot_do_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    undetected = "\nscreening: {detectors: []}"
    wrong = CONFIG % "base_model: nobody/nothing, mixed_precision: fp16, use_8bit_adam: true"
    configs = {
        "all": wrong.replace("{images: 2}", "{images: 2, mixed_precision: fp16}") + undetected,
        "shared": CONFIG % "base_model: ./model, gradient_accumulation_steps: 4" + undetected,
    }
    study = write_study(tmp_path / "study", TINY_STUDY, configs)
    save_tiny_pipeline(study / "model")
    lineage = lineage_of(study)
    with pytest.raises(StudyError) as error:
        check_before_work(lineage, "all", True, print)
    assert all(str(study / "augmentations" / "all.yaml") in problem for problem in error.value.problems)
    for problem, words in zip(
        error.value.problems,
        [
            ("generator.base_model: 'nobody/nothing' (revision 'main') can't be had", "name the local folder"),
            ("sampling.mixed_precision: fp16 needs a GPU",),
            ("generator.mixed_precision: fp16 needs a GPU",),
            ("generator.use_8bit_adam: ", "bitsandbytes"),
        ],
        strict=True,
    ):
        assert all(word in problem for word in words), problem
    check_before_work(lineage, "shared", True, print)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(StudyError, match="gradient_accumulation_steps: 4 can't be shared out over 3 GPUs"):
        check_before_work(lineage, "shared", True, print)
    check_before_work(lineage, "shared", False, print)  # painting has no such bounds
