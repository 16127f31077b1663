"""Several steps share the pieces of an asset: the same bytes as one step, and what fails or is killed goes on alone."""

import re
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from firefusion_assets.core.errors import RequestError
from firefusion_assets.lineage.assets import ASSETS, REPORT
from firefusion_assets.orchestration import running
from firefusion_assets.orchestration.fanout import fanout
from firefusion_assets.segmentation.training import TrainingJob
from firefusion_assets.steps import prune, unets
from firefusion_assets_tests.builders.commands import cli_command, cli_environment
from firefusion_assets_tests.builders.killing import killed_when
from firefusion_assets_tests.builders.pipelines import save_tiny_pipeline
from firefusion_assets_tests.builders.published import published
from firefusion_assets_tests.builders.slow_study import SLOWER, SLOWER_STUDY
from firefusion_assets_tests.builders.studies import (
    REPOSITORY,
    TINY_STUDY,
    TWO_REPLICATES,
    LoadDefinitions,
    asset_key,
    lineage_of,
    loaded,
    materialize,
    write_study,
)

FANNED_OUT = ("finetuned_model", "synthetic_images", "trained_unet", "dice_metrics")
THREE_FOLDS = TWO_REPLICATES + "split: {folds: 3}\n"


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREFUSION_FANOUT", "3")


@pytest.mark.parametrize("text", ["0", "65", "-1", "1.5", "four", "", "²"])
def test_a_number_of_steps_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FIREFUSION_FANOUT", text)
    with pytest.raises(
        RequestError, match=rf"^FIREFUSION_FANOUT: '{re.escape(text)}' is no whole number from 1 to 64$"
    ):
        fanout()


def test_one_step_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIREFUSION_FANOUT", raising=False)
    assert fanout() == 1


def looks(defs: dg.Definitions) -> dict[str, Any]:
    """Return all that Dagster shows of each asset before it is made, and of its checks."""
    graph = defs.resolve_asset_graph()
    return {
        node.key.path[-1]: (
            {parent.path[-1] for parent in node.parent_keys}, node.partitions_def, node.code_version, node.group_name,
            node.kinds, node.owners, node.tags, node.description, node.pools, node.automation_condition,
            {(key.name, graph.get_check_spec(key).description, graph.get_check_spec(key).blocking)
             for key in node.check_keys},
        )
        for node in graph.asset_nodes
    }  # fmt: skip


def test_assets_look_the_same_however_many_steps_make_them(
    tmp_path: Path, load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path / "study", THREE_FOLDS + "owners: [me@example.org]\n")
    one = load_definitions(study)
    monkeypatch.setenv("FIREFUSION_FANOUT", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        three = load_definitions(study)
        dg.Definitions.validate_loadable(three)
    assert looks(three) == looks(one)
    for name in ASSETS:
        node = three.resolve_assets_def(asset_key(name)).node_def
        assert isinstance(node, dg.GraphDefinition) == (name in FANNED_OUT), name
        if isinstance(node, dg.GraphDefinition):
            gpu = {one.name for one in node.nodes if "dagster-celery/queue" in one.definition.tags}
            assert {one.name for one in node.nodes} == {"plan", "piece", "gather"} and gpu == {"piece", "gather"}


def steps_of(result: dg.ExecuteInProcessResult | dg.JobExecutionResult, event_type: str = "STEP_START") -> list[str]:
    """Return the keys of the steps that something happened to, those of one step an asset left out."""
    keys = [event.step_key for event in result.all_events if event.event_type_value == event_type]
    return [key.removeprefix("tiny__") for key in keys if key and "." in key]


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """One study made by one step an asset, and the same by up to four; two configs each."""
    folder = tmp_path_factory.mktemp("fanout")
    made = dict[int, Path]()
    for shares in (1, 4):
        # Both at one place, since the table of patches holds paths.
        made = {other: study.rename(folder / str(other)) for other, study in made.items()}
        made[shares] = write_study(folder / "study", THREE_FOLDS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FIREFUSION_FANOUT", str(shares))
            defs = loaded(made[shares], patch)
            for key in ("baseline", "native"):
                result = materialize(defs, key)
                # There are no more shares than pieces: 3 folds, or 6 of folds and replicates.
                assert steps_of(result) == [
                    f"{asset}.{step}"
                    for asset, n in zip(FANNED_OUT, (3, 4, 4, 4), strict=True)
                    for step in ("plan", *(f"piece[{share}_of_{n}]" for share in range(1, n + 1)), "gather")
                    if shares == 4
                ]
                for asset in ASSETS:
                    if asset != REPORT:
                        (event,) = [
                            event
                            for event in result.all_events
                            if event.is_step_materialization and event.asset_key == asset_key(asset)
                        ]
                        tags, shown = event.materialization.tags or {}, event.materialization.metadata
                        assert tags["dagster/data_version"] == lineage_of(made[shares]).fingerprint(asset, key)
                        assert "path" in shown and ("picture" in shown or (key, asset) not in SHOWN)
                checks = {check.check_name for check in result.get_asset_check_evaluations()}
                assert checks >= {"background_untouched", "finds_fire", "counts_match", "enough_accepted"}
    return made


SHOWN = {("native", asset) for asset in FANNED_OUT} | {("baseline", "trained_unet"), ("baseline", "dice_metrics")}


@pytest.mark.slow
def test_every_file_of_every_object_is_the_same(studies: dict[int, Path]) -> None:
    one, four = published(studies[1] / "artifacts"), published(studies[4] / "artifacts")
    assert one == four
    assert {place.partition("/")[0] for place in one} >= {*ASSETS, *(ASSETS[asset].pieces for asset in FANNED_OUT)}
    assert all(one[place] for place in one)


@pytest.mark.slow
def test_what_mapped_steps_took_is_in_the_cost(studies: dict[int, Path]) -> None:
    lineage = lineage_of(studies[4])
    whole = lineage.find("trained_unet", "native")
    pieces = [lineage.store.find(*used) for used in whole.uses or () if used[0] == "trained_networks"]
    assert len(pieces) == 6
    assert whole.cost["seconds"] >= sum(piece.cost["seconds"] for piece in pieces if piece is not None) > 0


@pytest.mark.slow
def test_a_run_that_finds_everything_finished_plans_and_gathers(
    studies: dict[int, Path], load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIREFUSION_FANOUT", "3")
    before = published(studies[4] / "artifacts")
    assert steps_of(materialize(load_definitions(studies[4]), "native")) == [
        f"{asset}.{step}" for asset in FANNED_OUT for step in ("plan", "gather")
    ]
    assert published(studies[4] / "artifacts") == before


@pytest.mark.slow
@pytest.mark.usefixtures("three")
def test_a_step_that_fails_is_run_again_alone_and_what_is_finished_is_found(
    tmp_path: Path, load_definitions: LoadDefinitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path / "study", THREE_FOLDS, {"baseline": "generator: {engine: none}"})
    load_definitions(study)
    trained: list[tuple[int, int]] = []
    left = [(0, 1), (2, 0), (2, 0)]
    real_train = unets.train_unet

    def train(job: TrainingJob, work: Path, progress: Callable[[str], None]) -> None:
        if (job.fold, job.replicate) in left:
            left.remove((job.fold, job.replicate))
            raise RuntimeError("the device fell off the bus")
        real_train(job, work, progress)
        trained.append((job.fold, job.replicate))

    monkeypatch.setattr(unets, "train_unet", train)
    job = dg.build_reconstructable_job(running.__name__, running.lineage_job.__name__)
    with dg.instance_for_test() as instance:

        def run(**options: Any) -> dg.JobExecutionResult:
            return dg.execute_job(job, instance, tags={"dagster/partition": "baseline"}, **options)

        # A share is a fold here. The first one fails once, the last one twice.
        first = run()
        assert not first.success and not left
        assert steps_of(first, "STEP_UP_FOR_RETRY") == ["trained_unet.piece[1_of_3]", "trained_unet.piece[3_of_3]"]
        assert steps_of(first, "STEP_FAILURE") == ["trained_unet.piece[3_of_3]"]
        assert "trained_unet.piece[2_of_3]" in steps_of(first, "STEP_SUCCESS")
        assert "trained_unet.gather" not in steps_of(first)
        assert sorted(trained) == [(0, 0), (0, 1), (1, 0), (1, 1)]

        # What is there of an object that isn't finished is in use, until its settings are others.
        manifests = study.glob("artifacts/trained_networks/*/manifest.json")
        networks = {f"trained_networks/{path.parent.name}" for path in manifests}
        assert len(networks) == 4 and not unused(study) & networks
        settings = (study / "study.yaml").read_text()
        (study / "study.yaml").write_text(settings.replace("filters: 2", "filters: 3"))
        assert unused(study) >= networks
        (study / "study.yaml").write_text(settings)

        # A new run makes that share alone; so does a re-execution of the first one.
        left.append((2, 1))
        left.append((2, 1))
        second = run()
        assert not second.success and [step for step in steps_of(second) if "trained" in step] == [
            "trained_unet.plan", "trained_unet.piece[3_of_3]",
        ]  # fmt: skip
        again = run(reexecution_options=dg.ReexecutionOptions.from_failure(first.run_id, instance))
        assert again.success and [step for step in steps_of(again) if "trained" in step] == [
            "trained_unet.piece[3_of_3]", "trained_unet.gather",
        ]  # fmt: skip
    assert sorted(trained) == [(fold, number) for fold in range(3) for number in (0, 1)]
    assert not unused(study) & networks


def unused(study: Path) -> set[str]:
    folders = prune.unused_folders(lineage_of(study))
    return {folder.relative_to(study / "artifacts").as_posix() for folder in folders}


FINE_TUNED = """
generator: {engine: stable-diffusion, base_model: ./model, crop: 16, resolution: 64, max_train_steps: 2,
  validation_steps: 2, checkpointing_steps: 2, mask_variants: 2, mixed_precision: "no", method: dreambooth}
sampling: {images: 2, batch_size: 2, steps: 2}
screening: {detectors: [], min_changed: 0}
"""


@pytest.mark.slow
@pytest.mark.usefixtures("three")
def test_a_trainer_with_processes_of_its_own_reports_to_the_step_of_its_share(
    tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    study = write_study(tmp_path / "study", TINY_STUDY + "split: {folds: 3}\n", {"sd": FINE_TUNED})
    save_tiny_pipeline(study / "model")
    result = materialize(load_definitions(study), "sd", to="finetuned_model")
    assert result.success and len(steps_of(result)) == 5
    model = lineage_of(study).find("finetuned_model", "sd").path
    assert len(list(model.glob("fold-*/history.csv"))) == 3 and (model / "sheet.png").is_file()


@pytest.mark.faults
def test_a_run_killed_in_a_mapped_step_goes_on_to_the_bytes_of_one_step(
    tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    killed, whole = (write_study(tmp_path / name / "study", SLOWER_STUDY, SLOWER) for name in ("killed", "whole"))
    environment = cli_environment(killed, tmp_path / "home") | {"FIREFUSION_FANOUT": "2"}
    command = cli_command("firefusion", "run", "baseline", "--to", "trained_unet")
    unfinished = "artifacts/trained_networks/.work/*/fold-0/replicate-1/checkpoint-*.pt"
    killed_when(lambda: [*killed.glob(unfinished)], command, environment)
    assert not list(killed.glob("artifacts/trained_unet/*/manifest.json"))
    first = {path: path.stat().st_mtime_ns for path in killed.glob("artifacts/*/*/manifest.json")}

    again = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert again.returncode == 0, again.stderr
    # A line an asset, however many steps it has; what was finished is found.
    lines = re.findall(r"^baseline +(\d+)/9  (\w+) +(found|made)", again.stdout, re.MULTILINE)
    assert sorted(int(number) for number, *_ in lines) == [*range(1, 10)]
    assert ("9", "trained_unet", "made") in lines and {outcome for *_, outcome in lines[:-1]} == {"found"}
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in first.items())
    log = max((tmp_path / "home" / "logs").glob("2*.log")).read_text()
    assert "resumed at step" in log and "trained_unet.piece[2_of_2]" in log

    assert materialize(load_definitions(whole), "baseline", to="trained_unet").success
    one, other = (lineage_of(folder).find("trained_unet", "baseline") for folder in (killed, whole))
    contents = [
        {path.relative_to(made.path): path.read_bytes() for path in made.path.rglob("network.*") if path.is_file()}
        for made in (one, other)
    ]
    assert one.fingerprint == other.fingerprint and contents[0] == contents[1] and len(contents[0]) == 4
