"""What the README shows works: its YAML is valid, its targets, pictures and pages exist."""

import re
from pathlib import Path

import yaml

from firefusion_assets.cli.main import app
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.study import load_augmentation, load_study
from firefusion_assets.study.augmentation import augmentation_model
from firefusion_assets.study.models import Study
from firefusion_assets_tests.builders.studies import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
YAML_BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def test_the_example_study_is_valid() -> None:
    (text,) = (block for block in YAML_BLOCKS if "source: folder" in block)
    study = Study.model_validate(yaml.safe_load(text))
    assert study.dataset.source == "folder"
    assert re.fullmatch(study.dataset.pairs.image or "", "lake_01_image.tif")
    assert study.dataset.groups is not None
    match = re.fullmatch(study.dataset.groups.pattern or "", "lake_01_image.tif")
    assert match is not None and match["group"] == "lake"


def test_the_example_study_of_products_is_valid() -> None:
    (text,) = (block for block in YAML_BLOCKS if "source: landsat" in block)
    study = Study.model_validate(yaml.safe_load(text))
    assert study.dataset.source == "landsat" and study.dataset.labels == "voting"


def test_the_example_config_is_valid_in_the_demo(tmp_path: Path) -> None:
    (text,) = (block for block in YAML_BLOCKS if "extends:" in block)
    folder = tmp_path / "demo"
    (folder / "augmentations").mkdir(parents=True)
    for file in (REPOSITORY / "data" / "demo").rglob("*.yaml"):
        if "artifacts" not in file.parts:
            target = folder / file.relative_to(REPOSITORY / "data" / "demo")
            target.write_text(file.read_text())
    (folder / "augmentations" / "native-half.yaml").write_text(text)
    config = load_augmentation(folder, "native-half", load_study(folder))
    assert (config.generator.engine, config.sampling.images) == ("native", 16)


def test_the_stable_diffusion_example_is_valid() -> None:
    (text,) = (block for block in YAML_BLOCKS if "engine: stable-diffusion" in block)
    config = augmentation_model().model_validate(yaml.safe_load(text))
    assert isinstance(config.generator, StableDiffusionGenerator)
    assert config.generator.method == "dreambooth"


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= set(re.findall(r"make (\w+)", README)) <= targets


def test_the_commands_that_are_named_exist_and_all_are_named() -> None:
    named = set(re.findall(r"(?:bin/|`)firefusion ([a-z-]+)", README))
    table = README.partition("## The command")[2].partition("\n## ")[0]
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([a-z-]+)", row)
    }
    commands = {command.name: command.hidden for command in app.registered_commands}
    assert named <= set(commands)
    assert listed == {name for name, hidden in commands.items() if not hidden}


def test_every_file_that_is_linked_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_the_named_settings_exist() -> None:
    code = "\n".join(path.read_text() for path in (REPOSITORY / "firefusion_assets").rglob("*.py"))
    assert all(name in code for name in set(re.findall(r"FIREFUSION_[A-Z]+", README)))
