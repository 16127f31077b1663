"""What README and docs show works: YAML is valid, commands and their options exist, links lead somewhere."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from firefusion_assets.cli.main import app
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.study import load_augmentation, load_study
from firefusion_assets.study.augmentation import Augmentation
from firefusion_assets.study.models import Study
from firefusion_assets.study.reference import reference
from firefusion_assets_tests.builders.studies import REPOSITORY

PAGES = {path: path.read_text() for path in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))}
ALL = "\n".join(PAGES.values())
README, RUNNING = PAGES[REPOSITORY / "README.md"], PAGES[REPOSITORY / "docs" / "running.md"]
# What extending.md shows names parts of a package that `study/test_extending.py` brings.
YAML_BLOCKS = re.findall(
    r"```yaml\n(.*?)```", "\n".join(text for path, text in PAGES.items() if path.stem != "extending"), re.DOTALL
)
COMMANDS = {str(command.name): command for command in app.registered_commands}


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("text", YAML_BLOCKS, ids=range(len(YAML_BLOCKS)))
def test_every_yaml_is_valid(text: str) -> None:
    """A whole study, a config, or sections of a study."""
    given: Mapping[str, Any] = yaml.safe_load(text)
    config = Augmentation
    if "dataset" in given:
        Study.model_validate(given)
    elif "extends" in given:
        assert set(given) <= {*config.model_fields, "extends"}
    elif set(given) <= {*config.model_fields}:
        config.model_validate(given)
    else:
        for key, value in given.items():
            TypeAdapter(Study.model_fields[key].annotation).validate_python(value)


def test_the_example_study_pairs_and_groups_as_it_says() -> None:
    (text,) = (block for block in YAML_BLOCKS if "name: floods" in block and "pairs:" in block)
    dataset = Study.model_validate(yaml.safe_load(text)).dataset
    assert dataset.source == "folder" and dataset.groups is not None
    assert re.fullmatch(dataset.pairs.image or "", "lake_01_image.tif")
    match = re.fullmatch(dataset.groups.pattern or "", "lake_01_image.tif")
    assert match is not None and match["group"] == "lake"


def test_the_example_config_is_valid_in_the_demo(tmp_path: Path) -> None:
    text = next(block for block in YAML_BLOCKS if "native-half.yaml" in block)
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
    config = Augmentation.model_validate(yaml.safe_load(text))
    assert isinstance(config.generator, StableDiffusionGenerator)
    assert config.generator.method == "dreambooth"


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= set(re.findall(r"`?make ([\w-]+)`?(?: +#|`)", ALL)) <= targets


def test_every_fault_is_part_of_make_test_faults() -> None:
    printed = subprocess.run(["make", "-n", "test-faults"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    tests = REPOSITORY / "firefusion_assets_tests"
    marked = [path for path in tests.rglob("test_*.py") if re.search(r"mark\.faults", path.read_text())]
    assert len(marked) > 5
    assert [path for path in marked if str(path.relative_to(REPOSITORY)) not in printed.stdout] == []


def test_the_commands_that_are_named_exist_and_all_are_listed() -> None:
    named = set(re.findall(r"(?:bin/|`|\n)firefusion ([a-z][a-z-]+)", ALL))
    table = RUNNING.partition("## The command")[2].partition("\n## ")[0]
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([a-z-]+)", row)
    }
    assert named <= set(COMMANDS)
    assert listed == {name for name, command in COMMANDS.items() if not command.hidden}


def test_every_option_that_is_shown_exists() -> None:
    from typer.main import get_command

    commands = get_command(app).commands  # type: ignore[attr-defined]
    shown = re.findall(r"(?:bin/|`|\n)firefusion ([a-z][a-z-]+)([^`\n#]*)", ALL)
    assert shown
    for name, rest in shown:
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        if "://" not in link:
            file, _, heading = link.partition("#")
            target = page.parent / file if file else page
            assert target.exists(), link
            if heading:
                titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
                assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, link


def test_the_site_shows_every_page() -> None:
    shown = re.findall(r"([\w-]+\.md)$", (REPOSITORY / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(shown) == sorted(path.name for path in PAGES if path.name != "README.md")


def test_the_reference_is_that_of_the_models() -> None:
    """Write it anew by `firefusion settings > docs/reference.md`."""
    assert PAGES[REPOSITORY / "docs" / "reference.md"] == reference()


def test_the_named_environment_variables_exist() -> None:
    files = [*(REPOSITORY / "firefusion_assets").rglob("*.py"), *(REPOSITORY / "deploy").rglob("*.*")]
    code = "\n".join(path.read_text() for path in files if path.is_file())
    assert all(name in code for name in set(re.findall(r"FIREFUSION_[A-Z_]+[A-Z]", ALL)))
