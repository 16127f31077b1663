"""An engine is found by its entry point or registered in the process, and nothing outside its folder names it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import firefusion_assets
from firefusion_assets.patchstore import Patches
from firefusion_assets.steps.preflight import check_before_work, require_engine
from firefusion_assets.study import StudyError, load_augmentation, load_study, registry
from firefusion_assets.study.engine import Engine
from firefusion_assets_tests.builders.commands import cli_environment
from firefusion_assets_tests.builders.studies import (
    REPOSITORY,
    TINY_STUDY,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)
from firefusion_assets_tests.builders.toy_engine import ToyGenerator

PACKAGE = Path(firefusion_assets.__file__).parent
DECLARED = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"][Engine.group]
TOY = """
generator: {engine: toy, heat: heat.txt}
sampling: {images: 4, batch_size: 4}
"""


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register an engine for one test."""
    monkeypatch.setattr(registry, "_registered", {})
    registry.register(ToyGenerator)


@pytest.fixture
def study(toy: None, tmp_path: Path) -> Path:
    folder = write_study(tmp_path / "study", configs={"baseline": "", "toy": TOY})
    (folder / "heat.txt").write_text("50000")
    return folder


def test_the_projects_engines_are_found_by_their_entry_points() -> None:
    assert {
        name: f"{engine.__module__}:{engine.__qualname__}" for name, engine in registry.known(Engine).items()
    } == DECLARED
    assert {engine.__module__.split(".")[-2] for engine in registry.known(Engine).values()} == {
        path.parent.name for path in (PACKAGE / "engines").glob("*/__init__.py")
    }


def test_a_config_that_names_no_engine_adds_nothing(study: Path) -> None:
    assert lineage_of(study).config("baseline").generator.engine == "none"


@pytest.mark.slow
def test_an_engine_from_outside_runs_through_the_whole_lineage(study: Path, load_definitions: LoadDefinitions) -> None:
    defs = load_definitions(study)
    assert materialize(defs, "toy").success
    lineage = lineage_of(study)
    model = lineage.find("finetuned_model", "toy")
    assert model.facts == {"engine": "toy", "n_toys": 1} and (model.path / "sheet.png").is_file()
    provenance = pd.read_parquet(
        lineage.find("synthetic_images", "toy").path / "fold-0" / "replicate-0" / "provenance.parquet"
    )
    assert set(provenance["engine"]) == {"toy"} and set(provenance["bit_depth"]) == {1}
    base = lineage.find("landsat_patches", "_").path / "base.lmdb"
    added = Patches(base, [lineage.find("augmented_lmdb", "toy").path / "overlay.lmdb"])
    assert len(added.added_ids) == 4
    for patch_id in added.added_ids:
        patch = added.read(patch_id)
        assert (patch.bands[:, patch.label] == 50000).all(axis=0).any()
    assert len(pd.read_parquet(lineage.find("dice_metrics", "toy").path / "summary.parquet")) == 1
    before = {asset: lineage.fingerprint(asset, "toy") for asset in ("finetuned_model", "inpainting_masks")}
    (study / "heat.txt").write_text("40000")
    after = {asset: lineage_of(study).fingerprint(asset, "toy") for asset in before}
    assert [before[asset] == after[asset] for asset in before] == [False, True], "what the engine reads alone"
    (study / "heat.txt").write_text("very")
    with pytest.raises(StudyError, match=r"toy\.yaml: generator\.heat: holds 'very'; write a DN into it"):
        check_before_work(lineage_of(study), "toy", True, print)


def test_the_files_of_an_engine_and_its_keys_are_told_at_once(study: Path) -> None:
    (study / "augmentations" / "toy.yaml").write_text("generator: {engine: toy, heat: none.txt, heet: 3}\nmask: {}")
    with pytest.raises(StudyError) as error:
        load_augmentation(study, "toy", load_study(study))
    told = [problem.removeprefix(f"{study / 'augmentations' / 'toy.yaml'}:") for problem in error.value.problems]
    assert told == [
        "1: generator.heet: unknown key; did you mean heat?",
        "2: mask: unknown key; did you mean masks?",
        " generator.heat: there is no none.txt; write a DN into it",
    ]


def test_a_setting_that_an_engine_from_outside_reads_is_its_own(study: Path) -> None:
    (study / "augmentations" / "toy.yaml").write_text(TOY.replace("images: 4", "images: 4, strength: 0.5"))
    assert lineage_of(study).config("toy").sampling.strength == 0.5


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            "generator: {engine: toys}",
            "'toys' is unknown; known are 'copy-paste', 'files', 'more-real', 'native',",
        ),
        ("generator: {engine: tiy}", ", 'toy'"),
        ("generator: {heat: heat.txt}", "generator.engine: missing; add it"),
        (
            TOY.replace("images: 4", "images: 4, scheduler: ddpm"),
            "sampling.scheduler: only engine stable-diffusion reads that, not toy",
        ),
        (
            "generator: {engine: copy-paste}\nsampling: {images: 1, strength: 0.5}",
            "sampling.strength: only engine native, stable-diffusion, toy reads that, not copy-paste",
        ),
    ],
)
def test_messages_count_an_engine_from_outside_in(study: Path, config: str, expected: str) -> None:
    (study / "augmentations" / "toy.yaml").write_text(config)
    with pytest.raises(StudyError) as error:
        lineage_of(study).config("toy")
    assert expected in str(error.value)


def test_an_engine_says_what_of_a_study_it_can_not_do(study: Path) -> None:
    (study / "study.yaml").write_text(TINY_STUDY + "split: {folds: 3}")
    with pytest.raises(StudyError, match=r"toy\.yaml:2: generator\.engine: a toy has one fold"):
        lineage_of(study).config("toy")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("nowhere.at_all:Engine", "engine toy .*can't be loaded: No module named 'nowhere'; repair or uninstall"),
        (
            "firefusion_assets.gone:Engine",
            "FireFusion has changed since it was installed; install it anew",
        ),
        ("firefusion_assets.engines.none.settings:NoGenerator", "engine none .*is declared as toy; name both alike"),
        ("firefusion_assets.study.engine:Engine", "Engine doesn't say its name; declare `engine: Literal"),
        (None, "no installed package declares what `engine` can name"),
    ],
)
def test_an_engine_that_can_not_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, value: str | None, expected: str
) -> None:
    entries = [] if value is None else [EntryPoint("toy", value, Engine.group)]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    registry._installed.cache_clear()
    try:
        with pytest.raises(registry.PartError, match=expected):
            registry.known(Engine)
    finally:
        registry._installed.cache_clear()


@pytest.mark.slow
def test_a_missing_extra_is_told_with_the_command_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load_definitions: LoadDefinitions
) -> None:
    folder = write_study(
        tmp_path / "study", configs={"sd": "generator: {engine: stable-diffusion, crop: 32}\nsampling: {images: 1}"}
    )
    monkeypatch.setitem(sys.modules, "peft", None)
    expected = r"sd\.yaml: generator\.engine: stable-diffusion needs peft, .*pip install 'firefusion-assets\[stable-d"
    with pytest.raises(StudyError, match=expected):
        require_engine(lineage_of(folder).config("sd").generator, folder, "sd", lambda line: None)
    result = materialize(load_definitions(folder), "sd", raise_on_error=False)
    failed = [event.step_key for event in result.get_step_failure_events()]
    assert any(key.endswith("augmentation_config") for key in failed)
    assert not lineage_of(folder).store.keys("finetuned_model")


RUN = """
import sys
for name in {blocked}:
    sys.modules[name] = None
from firefusion_assets.definitions import defs
from firefusion_assets_tests.builders.studies import materialize
for key in {keys}:
    assert materialize(defs, key).success
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "blocked"),
    [
        pytest.param(["baseline", "copy-paste"], ["diffusers", "transformers", "peft", "accelerate"], id="torch alone"),
        pytest.param(
            ["native"],
            ["transformers", "peft", "bitsandbytes", "segmentation_models_pytorch", "torchvision", "timm"],
            id="no extras",
        ),
    ],
)
def test_what_a_config_does_not_need_is_not_imported(tmp_path: Path, keys: list[str], blocked: list[str]) -> None:
    environment = cli_environment(write_study(tmp_path / "study"), tmp_path / "home")
    command = [sys.executable, "-c", RUN.format(blocked=blocked, keys=keys)]
    run = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, run.stderr[-4000:]


def modules_outside_engines() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "engines"]


def words_for(name: str) -> re.Pattern[str]:
    """What names an engine in a text; `none` and `files` are everyday words too."""
    plain = "" if name in ("none", "files") else rf"|^{name}$"
    return re.compile(rf"`{name}`|engine:? `?{name}\b{plain}" if "-" not in name else name)


def test_nothing_outside_an_engines_folder_names_it() -> None:
    found = []
    for path in modules_outside_engines():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += [(path.name, name, node.value) for name in DECLARED if words_for(name).search(node.value)]
    assert found == []


def test_nothing_but_commands_imports_an_engines_folder() -> None:
    """Commands may: one converts the files of one engine."""
    folders = {name.replace("-", "_") for name in DECLARED}
    found = [
        (str(path.relative_to(PACKAGE)), module)
        for path in modules_outside_engines()
        if path.relative_to(PACKAGE).parts[0] != "cli"
        for module in imported(path)
        if module.startswith("firefusion_assets.engines.") and module.split(".")[2] in folders
    ]
    assert found == []


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_an_engine_leaves_what_it_does_not_know_to_defaults() -> None:
    generator = registry.known(Engine)["copy-paste"].model_validate({"engine": "copy-paste"})
    assert isinstance(generator, Engine)
    assert generator.bit_depths(Path(), pd.DataFrame({"row": np.arange(3)})) == [16] * 3
    with pytest.raises(ValueError, match="engine copy-paste has no trainer of its own"):
        generator.prepare(None, Path())  # type: ignore[arg-type]
