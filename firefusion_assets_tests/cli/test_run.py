"""`firefusion run` as a user sees it: a line a step, the figure at the end, and a reason where something fails."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from firefusion_assets.cli.progress import StepLines, duration
from firefusion_assets.lineage.assets import ASSETS
from firefusion_assets.orchestration.running import News
from firefusion_assets_tests.builders.commands import cli_environment
from firefusion_assets_tests.builders.slow_study import SLOWER, SLOWER_STUDY
from firefusion_assets_tests.builders.studies import REPOSITORY, TINY_STUDY, lineage_of, write_study

RUN = (sys.executable, "-m", "firefusion_assets.cli", "run")
STEP = re.compile(r"(\S+) +(\d+)/(\d+)  (\w+) +(made in [\d.]+ s|found)(; check \w+(, \w+)* warns)?")

PROGRESS = re.compile(r"\S+ +\d+/\d+  trained_unet +fold \d+ seed \d+: step .*")


def run(study: Path, home: Path, *arguments: str, executor: str = "in_process") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, *arguments], env=cli_environment(study, home, executor), capture_output=True, text=True,
        cwd=REPOSITORY, timeout=280, check=False,
    )  # fmt: skip


def steps(lines: list[str]) -> list[tuple[str, ...]]:
    """Return key, number, total, asset and outcome of steps; others say how far they are, or what a check means."""
    matches = [STEP.fullmatch(line) for line in lines if not PROGRESS.fullmatch(line) and not line.startswith("Check ")]
    assert all(matches), lines
    return [match.groups()[:5] for match in matches if match]


@dataclass(frozen=True)
class Ran:
    """A study that two commands have run, and what they printed."""

    study: Path
    home: Path
    data: subprocess.CompletedProcess[str]
    configs: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("run")
    study, home = write_study(folder / "study", TINY_STUDY), folder / "home"
    return Ran(study, home, run(study, home, "--to", "scene_split"), run(study, home, "baseline", "copy-paste"))


@pytest.mark.slow
def test_what_all_configs_share_needs_no_key(ran: Ran) -> None:
    assert (ran.data.returncode, ran.data.stderr) == (0, "")
    *lines, path = ran.data.stdout.splitlines()
    made = [(key, asset) for key, _, _, asset, _ in steps(lines)]
    assert made == [("tiny", "landsat_patches"), ("tiny", "scene_split")]
    assert path == str(lineage_of(ran.study).find("scene_split", "_").path)


@pytest.mark.slow
def test_a_run_prints_a_line_a_step_and_ends_with_the_figures(ran: Ran) -> None:
    assert (ran.configs.returncode, ran.configs.stderr) == (0, "")
    *lines, baseline, copy_paste, where, missing = ran.configs.stdout.splitlines()
    warned = {name for line in lines for name in re.findall(r"; check (\w+) warns", line)}
    meanings = [line for line in lines if line.startswith("Check ")]
    assert warned == {"all_current", "enough_tested", "finds_fire"}
    assert {line.split()[1] for line in meanings} == warned - {"all_current"}
    assert missing.startswith("Without a figure of today's settings: native; firefusion run native")
    told = steps(lines)
    assert [(key, number, total) for key, number, total, *_ in told] == [
        (key, str(number), "11") for key in ("baseline", "copy-paste") for number in range(1, 12)
    ]
    assert {asset for *_, asset, _ in told} == set(ASSETS)
    found = [(key, asset) for key, _, _, asset, outcome in told if outcome == "found"]
    assert found == [(key, asset) for key in ("baseline", "copy-paste") for asset in ("landsat_patches", "scene_split")]
    assert re.fullmatch(r"baseline: Dice [\d.]+", baseline)
    change = r"difference to the baseline [+-][\d.]+( \([+-][\d.]+ to [+-][\d.]+\))?: not decidable"
    assert re.fullmatch(rf"copy-paste: Dice [\d.]+, {change}", copy_paste)
    assert Path(where.removeprefix("Report: ")).is_file()


@pytest.mark.slow
def test_dagsters_own_words_lie_in_a_file(ran: Ran) -> None:
    assert "DEBUG" not in ran.data.stdout + ran.configs.stdout
    logs = [log.read_text() for log in sorted((ran.home / "logs").glob("2*.log"))]
    assert [log.count("RUN_SUCCESS") for log in logs] == [1, 2] and all("DEBUG" in log for log in logs)


@pytest.mark.slow
def test_steps_in_processes_of_their_own_are_heard_too(ran: Ran) -> None:
    done = run(ran.study, ran.home, "native", "--to", "inpainting_masks", executor="multiprocess")
    assert (done.returncode, done.stderr) == (0, "")
    *lines, path = done.stdout.splitlines()
    assert {(asset, outcome == "found") for _, _, _, asset, outcome in steps(lines)} == {
        ("augmentation_config", False), ("landsat_patches", True), ("scene_split", True), ("inpainting_masks", True),
    }  # fmt: skip
    assert path == str(lineage_of(ran.study).find("inpainting_masks", "native").path)


@pytest.mark.slow
def test_damage_that_a_step_finds_is_told_at_the_end(ran: Ran) -> None:
    network = next((ran.study / "artifacts").glob("trained_unet/[!.]*/fold-0/replicate-0/network.safetensors"))
    before = network.read_bytes()
    network.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    done = run(ran.study, ran.home, "baseline", "copy-paste", "--to", "trained_unet")
    assert done.returncode == 0 and network.read_bytes() == before
    (line,) = [line for line in done.stdout.splitlines() if "nothing_damaged warns" in line and "trained_unet" in line]
    assert re.search(r"trained_unet +made in [\d.]+ s; check nothing_damaged warns$", line)
    (meaning,) = [line for line in done.stdout.splitlines() if line.startswith("Check nothing_damaged warns")]
    assert ".damaged" in meaning


@pytest.mark.slow
def test_a_failure_ends_with_its_reason_and_remedy_once(tmp_path: Path) -> None:
    config = "generator: {engine: files, images: painted}\nsampling: {images: 2}\nscreening: {detectors: []}"
    study, home = write_study(tmp_path / "study", configs={"webui": config}), tmp_path / "home"
    failed = run(study, home, "webui")
    assert failed.returncode == 1
    assert re.search(r"finetuned_model +failed$", failed.stdout, re.MULTILINE)
    where, reason = failed.stderr.splitlines()
    log = Path(where.removeprefix("Full log: "))
    assert "STEP_FAILURE" in log.read_text()
    problem = f"generator.images: {study / 'painted'}: there is no such folder; correct its path"
    assert reason == f"finetuned_model: {study / 'augmentations' / 'webui.yaml'}: {problem}"
    assert "Traceback" not in failed.stdout + failed.stderr
    status = subprocess.run(
        [*RUN[:-1], "status"],
        env=cli_environment(study, home),
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    ).stdout
    (row,) = [line for line in status.splitlines() if " failed " in line]
    assert row.split()[:3] == ["webui", "finetuned_model", "failed"] and problem in row
    assert "inpainting_masks" in status and status.rstrip().endswith("firefusion run webui")


@pytest.mark.slow
def test_without_a_home_it_is_that_of_make_ui(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("nux: {enabled: false}\n")
    script = (
        "import sys; from pathlib import Path; from firefusion_assets.orchestration import instance\n"
        "instance._PROJECT = Path(sys.argv[1]); print(instance.dagster_home())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    output = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == str(tmp_path / ".dagster_home")
    assert (tmp_path / ".dagster_home" / "dagster.yaml").read_text() == (tmp_path / "dagster.yaml").read_text()


@pytest.mark.slow
def test_on_a_terminal_the_line_tells_progress_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", SLOWER_STUDY, SLOWER)
    ours, theirs = pty.openpty()
    environment = cli_environment(study, tmp_path / "home") | {"TERM": "xterm", "COLUMNS": "140"}
    with subprocess.Popen(
        [*RUN, "native"],
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    ) as process:
        os.close(theirs)
        seen, deadline = "", time.monotonic() + 240
        while not re.search(r"finetuned_model .*step \d+ of 60, .*about [\d.]+ (s|min) left", seen):
            assert time.monotonic() < deadline, seen
            seen += os.read(ours, 10_000).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        while True:
            try:
                seen += os.read(ours, 10_000).decode(errors="replace")
            except OSError:  # closed at its end
                break
        assert process.stderr is not None
        told = process.stderr.read()
    assert process.returncode == 130
    assert told == "Interrupted. The same command goes on from here.\n"
    assert "DEBUG" not in seen and re.search(r"landsat_patches +made in", seen)


@pytest.mark.slow
def test_a_step_whose_process_is_killed_is_told_in_words(tmp_path: Path) -> None:
    study, home = write_study(tmp_path / "study", SLOWER_STUDY, SLOWER), tmp_path / "home"
    with subprocess.Popen(
        [*RUN, "native"], env=cli_environment(study, home, "multiprocess"), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, cwd=REPOSITORY, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 240
        while not lineage_of(study).pointed("landsat_patches", "_"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        deepest: list[psutil.Process] = []
        while not deepest:
            # Steps are started by a process that Dagster starts for it; a step may end while it is looked at.
            with suppress(psutil.NoSuchProcess):
                below = [one for child in psutil.Process(process.pid).children() for one in child.children()]
                deepest = [one for one in below if "forkserver" in " ".join(one.cmdline())]
        for one in deepest:
            one.kill()
        _, told = process.communicate(timeout=240)
    assert process.returncode == 1
    assert re.search(r"^\w+: its process was killed from outside, .* goes on from here$", told, re.MULTILINE), told


def test_progress_is_shown_now_and_then_where_lines_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lines = StepLines(sys.stdout, "native", ["trained_unet", "dice_metrics"])
    lines.tell(News("trained_unet", "started"))
    for step in range(151):
        now[0] = float(step)
        lines.tell(News("trained_unet", "told", f"seed 1: step {step} of 150"))
    lines.tell(News("trained_unet", "told", "a table\nof lines"))
    lines.tell(News("trained_unet", "made", seconds=99.6, warnings=("finds_fire",)))
    lines.tell(News("dice_metrics", "started"))
    lines.tell(News("dice_metrics", "failed"))
    assert capsys.readouterr().out.splitlines() == [
        "native   1/2  trained_unet  seed 1: step 61 of 150, about 1 min 29 s left",
        "native   1/2  trained_unet  seed 1: step 122 of 150, about 28 s left",
        "native   1/2  trained_unet  made in 1 min 40 s; check finds_fire warns",
        "native   2/2  dice_metrics  failed",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.6, "10 s"), (59.6, "1 min 0 s"), (7500, "2 h 5 min")]
)
def test_times_are_told_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text
