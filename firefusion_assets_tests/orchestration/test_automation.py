"""What starts runs by itself: off unless the study says so, for what changed, within its hours."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    TINY_STUDY,
    LoadDefinitions,
    asset_key,
    lineage_job,
    write_study,
)

ON = TINY_STUDY + "automation: {enabled: true, max_hours: 0.5}\nowners: [team:fire, someone@example.org]\n"


def evaluated(defs: dg.Definitions, sensor: str, instance: dg.DagsterInstance) -> Any:
    repository = defs.get_repository_def()
    context = dg.build_sensor_context(instance=instance, repository_def=repository)
    return repository.get_sensor_def(sensor).evaluate_tick(context)


def test_everything_is_off_and_one_line_of_the_study_turns_it_on(
    tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    for number, (text, running) in enumerate(((TINY_STUDY, False), (ON, True))):
        defs = load_definitions(write_study(tmp_path / str(number), text))
        repository = defs.get_repository_def()
        names = {"tiny_changes", "tiny_failures", "tiny_report"}
        assert {sensor.name for sensor in repository.sensor_defs} == names
        states = [repository.get_sensor_def(name).default_status.value for name in names]
        states.append(repository.get_schedule_def("tiny_weekly").default_status.value)
        assert set(states) == {"RUNNING" if running else "STOPPED"}
        assert all(repository.get_sensor_def(name).description for name in names)
        report = defs.resolve_asset_graph().get(asset_key("augmentation_report"))
        assert report.automation_condition is not None and (report.freshness_policy is not None) == running
        assert list(report.owners) == (["team:fire", "someone@example.org"] if running else [])


def test_an_owner_is_an_address_or_a_team(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "study", TINY_STUDY + "owners: [nobody]\n")
    with pytest.raises(Exception, match=r"study.yaml:5: owners"):
        load_definitions(study)


def test_the_sensor_asks_for_what_changed_once(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    """Of a study that was never run all configs are due; their cost isn't known, so none is held back."""
    study = write_study(tmp_path / "study", ON)
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        requests = evaluated(load_definitions(study), "tiny_changes", instance).run_requests
        assert [request.partition_key for request in requests] == ["baseline", "copy-paste", "native"]
        again = evaluated(load_definitions(study), "tiny_changes", instance).run_requests
        assert [request.run_key for request in again] == [request.run_key for request in requests]
        config = study / "augmentations" / "native.yaml"
        config.write_text(TINY_CONFIGS["native"].replace("steps: 6", "steps: 7"))
        changed = evaluated(load_definitions(study), "tiny_changes", instance).run_requests
    assert [one.run_key == other.run_key for one, other in zip(requests, changed, strict=True)] == [True, True, False]


@pytest.mark.slow
def test_what_costs_more_than_the_hours_waits_and_is_told(tmp_path: Path, load_definitions: LoadDefinitions) -> None:
    study = write_study(tmp_path / "study", ON, {"baseline": TINY_CONFIGS["baseline"]})
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        defs = load_definitions(study)
        assert lineage_job(defs).execute_in_process(partition_key="baseline", instance=instance).success
        assert evaluated(defs, "tiny_changes", instance).skip_message == "All is current."
        (study / "study.yaml").write_text(ON.replace("steps: 6", "steps: 7"))
        assert len(evaluated(load_definitions(study), "tiny_changes", instance).run_requests) == 1
        (study / "study.yaml").write_text(ON.replace("steps: 6", "steps: 7").replace("0.5", "1.0e-9"))
        told = evaluated(load_definitions(study), "tiny_changes", instance)
    assert not told.run_requests and "baseline (0.0 h)" in told.skip_message


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An address, and what was sent to it."""
    sent: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", sent
        server.shutdown()


def test_a_failure_is_told_with_its_reason_and_remedy(
    tmp_path: Path,
    load_definitions: LoadDefinitions,
    webhook: tuple[str, list[dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, sent = webhook
    monkeypatch.setenv("FIREFUSION_WEBHOOK", address)
    study = write_study(tmp_path / "study", TINY_STUDY, {"broken": "generator: {engine: native, crap: 3}"})
    defs = load_definitions(study)
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        result = lineage_job(defs).execute_in_process(partition_key="broken", instance=instance, raise_on_error=False)
        failure = result.get_run_failure_event()
        context = dg.build_run_status_sensor_context(
            "tiny_failures",
            dagster_event=failure,
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            repository_def=defs.get_repository_def(),
        ).for_run_failure()
        defs.get_repository_def().get_sensor_def("tiny_failures")(context)
    (message,) = sent
    assert "config broken failed" in message["text"]
    assert "generator.crap: unknown key; did you mean crop?" in message["text"]
    assert f"firefusion run broken --study {study}" in message["text"]
