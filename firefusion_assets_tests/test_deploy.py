"""What `deploy/` holds: files that their tools accept, a Slurm submission that runs, PostgreSQL under two users."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from firefusion_assets_tests.builders.commands import cli_command
from firefusion_assets_tests.builders.databases import postgres_server
from firefusion_assets_tests.builders.studies import REPOSITORY, TINY_STUDY, lineage_of, write_study

DEPLOY = REPOSITORY / "deploy"
QUICK = {
    "baseline": "generator: {engine: none}",
    "copy-paste": "generator: {engine: copy-paste}\nsampling: {images: 4, batch_size: 4}",
}


def compose() -> list[str]:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if shutil.which("docker"):
        found = subprocess.run(["docker", "compose", "version"], capture_output=True)
        if found.returncode == 0:
            return ["docker", "compose"]
    pytest.skip("needs docker compose")


def test_compose_accepts_its_files() -> None:
    files = [DEPLOY / "docker" / name for name in ("compose.yaml", "compose.cuda.yaml")]
    command = [*compose(), *(part for file in files for part in ("-f", str(file))), "config"]
    environment = os.environ | {"FIREFUSION_STUDY": "/somewhere", "POSTGRES_PASSWORD": "secret"}
    checked = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    services = yaml.safe_load(checked.stdout)["services"]
    assert set(services) == {"postgres", "setup", "code", "webserver", "daemon", "reports"}
    assert services["code"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    del environment["POSTGRES_PASSWORD"]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert refused.returncode != 0 and "set a password" in refused.stderr


def test_what_containers_start_exists_and_only_this_machine_is_served() -> None:
    services = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())["services"]
    programs = {service["command"][0] for service in services.values() if "command" in service}
    assert all((Path(sys.executable).parent / program).is_file() for program in programs)
    for service in services.values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM base AS (\w+)", dockerfile, re.MULTILINE)) == {"cpu", "cuda"}
    for copied in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE):
        assert all((REPOSITORY / name).exists() for name in copied.split())


def test_the_run_launcher_of_the_chart_takes_its_configuration() -> None:
    pytest.importorskip("dagster_k8s", reason="needs the extra k8s")
    from dagster._config import process_config, resolve_to_config_type
    from dagster_k8s.launcher import K8sRunLauncher

    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    # The chart writes these keys into the instance's file, spelled so.
    snake = {re.sub("([A-Z])", r"_\1", key).lower(): value for key, value in launcher.items()}
    snake["run_k8s_config"] = {"pod_spec_config": snake["run_k8s_config"]["podSpecConfig"]}
    snake |= dict.fromkeys(("service_account_name", "instance_config_map", "postgres_password_secret"), "x")
    checked = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), snake | {"dagster_home": "/x"})
    assert checked.success, checked.errors
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert deployment["dagsterApiGrpcArgs"] == ["-m", "firefusion_assets.definitions"]
    claims = {volume["name"] for volume in deployment["volumes"]}
    assert claims == {mount["name"] for mount in deployment["volumeMounts"]}


def test_systemd_takes_the_unit_of_a_worker(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd")
    text = (DEPLOY / "celery" / "firefusion-worker@.service").read_text()
    programs = str(Path(sys.executable).parent)
    unit = tmp_path / "firefusion-worker@gpu.service"
    unit.write_text(text.replace("/opt/firefusion/bin", programs))
    checked = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert checked.returncode == 0 and unit.name not in checked.stderr, checked.stderr


SBATCH = """#!{python}
import os, subprocess, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as log:
    print(*arguments, sep="\\t", file=log)
number = sum(1 for _ in open({log!r}))
subprocess.run(["bash", "-c", arguments[arguments.index("--wrap") + 1]], check=True, stdout=sys.stderr)
print(number)
"""


@pytest.mark.faults
def test_a_slurm_submission_makes_the_report(tmp_path: Path) -> None:
    """With an `sbatch` that runs each job at once."""
    asking = TINY_STUDY + "resources: {trained_unet: {gpus: 2}}\n"
    study, log, programs = write_study(tmp_path / "study", asking, QUICK), tmp_path / "jobs", tmp_path / "bin"
    programs.mkdir()
    sbatch = programs / "sbatch"
    sbatch.write_text(SBATCH.format(python=sys.executable, log=str(log)))
    sbatch.chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY), "FIREFUSION_SBATCH": "--partition=a100"}
    script = str(DEPLOY / "slurm" / "submit.sh")
    done = subprocess.run([script, str(study)], env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    jobs = [line.split("\t") for line in log.read_text().splitlines() if line.startswith("--parsable")]
    names = [job[job.index("--job-name") + 1] for job in jobs]
    assert names == ["firefusion-data", "firefusion-baseline", "firefusion-copy-paste", "firefusion-report"]
    waits = [job[job.index("--dependency") + 1] if "--dependency" in job else "" for job in jobs]
    assert waits[0] == "" and waits[1] == waits[2] and waits[1].startswith("afterok:")
    assert waits[3].startswith("afterany:") and len(waits[3].split(":")) == 3
    for option in ("--gres=gpu:2", "--cpus-per-task=4", "--mem=32000M", "--partition=a100"):
        assert [option in job for job in jobs] == [False, True, True, False]
    report = lineage_of(study).store.pointed("augmentation_report", "_")
    assert report is not None
    table = (report.path / "comparison.csv").read_text()
    assert "copy-paste" in table and "baseline" in table and "missing" not in table


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of an empty database."""
    with postgres_server() as address:
        yield address


@pytest.mark.slow
def test_two_users_run_at_once_on_one_database(postgres: str, tmp_path: Path) -> None:
    """Each on a DAGSTER_HOME of their own, with one study, and the database is empty: what both need is made once, and
    both see all runs.
    """
    study = write_study(tmp_path / "study", configs=QUICK)
    environments = []
    for user in ("one", "two"):
        home = tmp_path / user
        home.mkdir()
        shutil.copy(DEPLOY / "dagster.yaml", home / "dagster.yaml")
        environments.append(
            os.environ
            | {"DAGSTER_HOME": str(home), "FIREFUSION_POSTGRES": postgres, "FIREFUSION_EXECUTOR": "in_process"}
        )
    runs = [
        subprocess.Popen(
            cli_command("firefusion", "run", key, "--to", "inpainting_masks", "--study", str(study)),
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for key, environment in zip(QUICK, environments, strict=True)
    ]  # fmt: skip
    outputs = [run.communicate(timeout=280)[0] for run in runs]
    logs = [log.read_text()[-4000:] for log in tmp_path.glob("*/logs/*.log")]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(outputs + logs)
    store = lineage_of(study).store
    assert all(
        len([*(store.root / asset).glob("*/manifest.json")]) == 1 for asset in ("landsat_patches", "scene_split")
    )
    assert store.keys("inpainting_masks") == sorted(QUICK)
    for environment in environments:
        listed = subprocess.run(
            cli_command("dagster", "run", "list"), env=environment, capture_output=True, text=True, timeout=200
        )
        assert listed.stdout.count("Run: ") == 2, listed.stdout + listed.stderr
    assert not [*tmp_path.glob("*/history/runs.db*")], "everything is in the database"
