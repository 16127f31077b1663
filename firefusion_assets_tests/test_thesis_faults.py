"""Faults of the thesis' pipeline that no test of a single module rules out; docs/thesis.md has the whole list."""

import importlib
import json
import pkgutil
import re
from pathlib import Path
from pkgutil import resolve_name
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from diffusers import StableDiffusionInpaintPipeline

import firefusion_assets
from firefusion_assets.core.dilation import dilated
from firefusion_assets.engines.stable_diffusion.method_settings import PriorPreservation
from firefusion_assets.engines.stable_diffusion.painter import StableDiffusionPainter
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.inpainting.mask_kinds import TransplantedMasks
from firefusion_assets.inpainting.plan import Draw, Plan, write_plan
from firefusion_assets.patchstore import PatchPart
from firefusion_assets.segmentation.metrics import Counts, dice, dice_batch_mean, total
from firefusion_assets.study import StudyError, load_augmentation, load_study
from firefusion_assets.study.augmentation import Sampling, Scheduler, Screening
from firefusion_assets.study.models import Backgrounds, Evaluation, ReportSettings, Split, Training
from firefusion_assets_tests.builders.commands import firefusion
from firefusion_assets_tests.builders.fitting import fit
from firefusion_assets_tests.builders.parts import make_part, table_of
from firefusion_assets_tests.builders.pipelines import save_tiny_pipeline
from firefusion_assets_tests.builders.studies import REPOSITORY, TINY_CONFIGS, write_study

MOVED = TransplantedMasks()

SIZE = 32
MODULES = [module.name for module in pkgutil.walk_packages(firefusion_assets.__path__, "firefusion_assets.")]
COMMANDS = ["export", "fine-tune", "handout", "similarity", "single-file"]
SAMPLING = Sampling(images=1, steps=1, batch_size=4)


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> PatchPart:
    return make_part(tmp_path_factory.mktemp("part"), SIZE)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


def tiny(base: Path, method: str) -> StableDiffusionGenerator:
    """Settings of a model that is fine-tuned in a second."""
    values = {"method": method, "crop": 16, "resolution": 64, "max_train_steps": 2, "train_batch_size": 1}
    return StableDiffusionGenerator.model_validate({"engine": "stable-diffusion", "base_model": str(base)} | values)


def fitted(generator: StableDiffusionGenerator, part: PatchPart, work: Path) -> Path:
    """Fit in this process; a trainer's own process is tested with the trainer."""
    fit(generator, part, work, launch=lambda trainer, job: resolve_name(trainer)(job, lambda line: None))
    return work


def scene(part: PatchPart) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """A background with a label of 3 x 3 px, and the edit mask around it."""
    label = np.zeros((1, SIZE, SIZE), bool)
    label[0, 14:17, 14:17] = True
    return part.read("free-1").bands[None].copy(), label, dilated(label[0], 3)[None]


def test_false_alarms_on_batches_without_fire_cost_something() -> None:
    burning, quiet, alarmed = (
        [counts] * 8 for counts in (Counts(50, 0, 50, 900), Counts(0, 0, 0, 9), Counts(0, 99, 0, 9))
    )
    assert dice_batch_mean([*burning, *alarmed]) == dice_batch_mean([*burning, *quiet]), "the thesis' figure"
    before, after = dice(total([*burning, *quiet])), dice(total([*burning, *alarmed]))
    assert before is not None and after is not None and after < before / 1.5


def test_a_config_can_not_change_how_networks_are_trained(tmp_path: Path) -> None:
    configs = TINY_CONFIGS | {"longer": "extends: copy-paste\ntraining: {steps: 99999}"}
    folder = write_study(tmp_path / "study", configs=configs)
    with pytest.raises(StudyError, match=r"longer\.yaml:2: training: unknown key"):
        load_augmentation(folder, "longer", load_study(folder))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREFUSION_CELERY_BROKER", "redis://127.0.0.1:6379/0")  # of which celery's app is made
    importlib.import_module(name)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_documented_command_starts(command: str) -> None:
    documents = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
    assert any(f"firefusion {command} " in document.read_text() for document in documents)
    assert "Usage:" in firefusion(command, "--help")


def test_painted_dn_are_no_stretched_bytes_and_no_band_is_left_out(part: PatchPart, base: Path, tmp_path: Path) -> None:
    generator = tiny(base, "none")
    painter = generator.load(fitted(generator, part, tmp_path), SAMPLING)
    background, label, edit = scene(part)
    painted = painter.paint(background, label, edit, np.array([5]))
    assert all((band != ground)[label[0]].all() for band, ground in zip(painted[0], background[0], strict=True))
    # 8 bit times 257 are all multiples of 257; of DN one in 257 is.
    assert (painted[0][:, label[0]] % 257 == 0).mean() < 0.2


def test_painting_has_the_prompt_of_training_and_usual_guidance(
    part: PatchPart, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = tiny(base, "none").model_copy(update={"instance_prompt": "wildfire, landsat-8"})
    painter = generator.load(fitted(generator, part, tmp_path), SAMPLING)
    assert isinstance(painter, StableDiffusionPainter)
    prompts, encode = [], StableDiffusionInpaintPipeline.encode_prompt

    def note(pipeline: object, prompt: str | None, *arguments: object, **named: object) -> object:
        prompts.append(prompt)
        return encode(pipeline, prompt, *arguments, **named)

    monkeypatch.setattr(StableDiffusionInpaintPipeline, "encode_prompt", note)
    painter.paint(*scene(part), np.array([5]))
    # "" is what guidance leads away from; None: embeddings that the pipeline was given.
    assert prompts.count("wildfire, landsat-8") == 1 and set(prompts) == {"wildfire, landsat-8", "", None}
    methods = {"none": 7.5, "dreambooth": 1, "lora": 1}
    assert {method: tiny(base, method).guided(SAMPLING).guidance_scale for method in methods} == methods
    assert generator.guided(SAMPLING.model_copy(update={"guidance_scale": 3})).guidance_scale == 3


def test_every_pair_of_complete_has_a_seed_of_its_own_and_keeps_it(part: PatchPart, tmp_path: Path) -> None:
    sampling = Sampling(images=5, max_tries=15, pairing="complete", seed=4)
    plans = []
    for folder in (tmp_path / "first", tmp_path / "again"):
        write_plan(part, table_of(part), Backgrounds(), MOVED, sampling, Draw(0, 0, sampling.seed), folder)
        plans.append(Plan.read(folder, SIZE).rows["seed"])
    assert len(plans[0]) > 10 and plans[0].is_unique
    assert plans[0].tolist() == plans[1].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dreambooth", "lora"])
def test_what_is_published_is_called_an_inpainting_pipeline(
    method: str, part: PatchPart, base: Path, tmp_path: Path
) -> None:
    folder = fitted(tiny(base, method), part, tmp_path)
    assert json.loads((folder / "model_index.json").read_text())["_class_name"] == "StableDiffusionInpaintPipeline"


def thesis_text() -> str:
    """What docs/thesis.md says of the thesis' steps and faults."""
    return (REPOSITORY / "docs" / "thesis.md").read_text()


def test_every_test_and_setting_that_the_document_names_exists() -> None:
    text = thesis_text()
    tests = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    assert len(tests) > 20
    folder = REPOSITORY / "firefusion_assets_tests"
    assert [name for file, name in tests if f"def {name}(" not in (folder / file).read_text()] == []
    sections = {
        "generator": StableDiffusionGenerator, "masks": TransplantedMasks, "sampling": Sampling, "screening": Screening,
        "split": Split, "training": Training, "evaluation": Evaluation, "report": ReportSettings,
    }  # fmt: skip
    keys = re.findall(rf"`({'|'.join(sections)})\.(?!parquet)(\w+)", text)
    assert len(keys) > 20
    assert [f"{section}.{key}" for section, key in keys if key not in sections[section].model_fields] == []
    values = set(re.findall(r"`(\w+): [^`]*`", text)) - set(sections)
    known = {key for model in (*sections.values(), PriorPreservation) for key in model.model_fields}
    assert values <= known


def test_every_sampler_of_the_document_is_known() -> None:
    (row,) = (line for line in thesis_text().splitlines() if "web UI: sampler" in line)
    assert set(re.findall(r"`([^`]+)`", row)) - {"sampling.scheduler"} == set(get_args(Scheduler))
