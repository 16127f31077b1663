"""The lineage run by Dagster from a command, and what a person hears of it meanwhile.

`dg.execute_job` runs the code location's job on the instance of DAGSTER_HOME, with the executor that
FIREFUSION_EXECUTOR names; that is what `dagster asset materialize` does, so UI and command show the same runs and the
same events. The executor may start processes, which load the job again by its name: hence `lineage_job`. What steps
say is read from the instance's event log, the one place where all executors write it.
"""

import importlib
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import dagster as dg

from firefusion_assets.core.errors import UserError
from firefusion_assets.orchestration.failures import first_cause, is_interruption, last_failures, reason
from firefusion_assets.orchestration.instance import home_folder, open_instance
from firefusion_assets.orchestration.slots import free_slots_of_dead_runs, pool_limit, process_tag, set_up_pool
from firefusion_assets.orchestration.step import MADE_NOW

if TYPE_CHECKING:
    from firefusion_assets.steps.overview import Failures

_INVOCATION: Final = "firefusion/invocation"
"""Tag by which the events of a run are found while it runs."""
_LISTEN_EVERY_S: Final = 0.3
_LAST_LOOK_S: Final = 30.0
"""What a look at the event log may take at the end; an instance on a network that hangs must not hold the command."""


class RunError(UserError):
    """A run that failed; the message holds the reason of each step that did."""


@dataclass(frozen=True)
class News:
    """What happened to a step.

    Attributes:
        asset: what the step makes.
        kind: `started`, `told` (its own words), `made`, `found` (its object was finished before), `failed`, or
            `stopped` (someone interrupted it).
        text: the step's words.
        seconds: how long it took, once it is done.
        warnings: names of the checks that warn, once it is done.
    """

    asset: str
    kind: Literal["started", "told", "made", "found", "failed", "stopped"]
    text: str = ""
    seconds: float = 0
    warnings: tuple[str, ...] = ()


def failures_at_home(study: str) -> "Failures":
    """Return the `last_failures` of a study that DAGSTER_HOME knows of, where there is one."""
    if not home_folder().is_dir():
        return {}
    with open_instance() as instance:
        return last_failures(study, instance)


def lineage_job() -> dg.JobDefinition:
    """Return the job over all assets of the code location."""
    definitions = _definitions()
    (name,) = [job.name for job in definitions.jobs or () if job.name.endswith("_lineage")]
    return definitions.resolve_job_def(name)


def steps_to(asset: str) -> list[dg.AssetKey]:
    """Return the asset of this name and all that it is made from; in the UI the name may have a prefix."""
    graph = _definitions().resolve_asset_graph()
    last = [key for key in graph.get_all_asset_keys() if key.path[-1] == asset]
    return sorted(dg.AssetSelection.assets(*last).upstream().resolve(graph))


def runs_at_once() -> int:
    """Return how many configs keep all GPUs busy; one where steps run in the run's process, or there is one GPU.

    One more than there are slots in the pool, so that a GPU doesn't wait while the next config's other steps run.
    """
    if lineage_job().executor_def.name == dg.in_process_executor.name:
        return 1
    with open_instance() as instance:
        set_up_pool(instance)
        slots = pool_limit(instance)
        return slots + 1 if slots > 1 else 1


def run(assets: Sequence[dg.AssetKey], key: str, tell: Callable[[News], None]) -> None:
    """Materialize assets.

    Args:
        assets: of `steps_to`.
        key: the config; empty if none of the assets is partitioned.
        tell: called with what happens, in a thread of its own.

    Raises:
        RunError: if a step failed.
        KeyboardInterrupt: if the run was interrupted.
    """
    invocation = uuid.uuid4().hex
    job = dg.build_reconstructable_job(__name__, lineage_job.__name__)
    tags = {_INVOCATION: invocation} | process_tag() | ({"dagster/partition": key} if key else {})
    with open_instance() as instance:
        set_up_pool(instance)
        free_slots_of_dead_runs(instance)
        with _listening(instance, invocation, tell) as ear:
            success = dg.execute_job(job, instance, tags=tags, asset_selection=assets).success
    if ear.interrupted:
        raise KeyboardInterrupt
    if not success:
        raise RunError("\n".join(ear.reasons))


@contextmanager
def _listening(instance: dg.DagsterInstance, invocation: str, tell: Callable[[News], None]) -> Iterator["_Ear"]:
    """Tell what a run's events say while the block runs; what is yielded has heard all of them at its end."""
    ear, ended = _Ear(instance, invocation, tell), threading.Event()

    def listen() -> None:
        while not ended.wait(_LISTEN_EVERY_S):
            ear.listen()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield ear
    finally:
        ended.set()
        thread.join(_LAST_LOOK_S)
        if not thread.is_alive():
            ear.listen()


class _Ear:
    """Turns a run's events into news, each once."""

    def __init__(self, instance: dg.DagsterInstance, invocation: str, tell: Callable[[News], None]) -> None:
        self._instance, self._invocation, self._tell = instance, invocation, tell
        self._run: str | None = None
        self._cursor: str | None = None
        self._began: dict[str, float] = {}
        self._outcomes: dict[str, Literal["made", "found"]] = {}
        self._warnings: defaultdict[str, list[str]] = defaultdict(list)
        self.reasons: list[str] = []
        self.interrupted = False

    def listen(self) -> None:
        """Tell what is new."""
        if self._run is None:
            runs = self._instance.get_runs(dg.RunsFilter(tags={_INVOCATION: self._invocation}), limit=1)
            self._run = runs[0].run_id if runs else None
        more = self._run is not None
        while more and self._run is not None:
            records = self._instance.get_records_for_run(self._run, self._cursor)
            self._cursor, more = records.cursor, records.has_more
            for record in records.records:
                self._hear(record.event_log_entry)

    def _failed(self, asset: str, event: dg.DagsterEvent) -> None:
        """Tell of an asset's first failure; note the reason of each of its steps that has another one."""
        first = not any(line.startswith(f"{asset}: ") for line in self.reasons)
        if (line := f"{asset}: {reason(event)}") not in self.reasons:
            self.reasons.append(line)
        if first:
            interrupted = is_interruption(first_cause(event.step_failure_data.error))
            self._tell(News(asset, "stopped" if interrupted else "failed"))

    def _hear(self, entry: dg.EventLogEntry) -> None:
        # An asset of several steps has keys such as `study__asset.piece[1_of_3]`.
        event, asset = entry.dagster_event, (entry.step_key or "").partition(".")[0].rpartition("__")[2]
        if event is None:
            if asset:
                self._tell(News(asset, "told", entry.user_message))
        elif event.event_type == dg.DagsterEventType.STEP_START:
            if asset not in self._began:
                self._began[asset] = entry.timestamp
                self._tell(News(asset, "started"))
        elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            made = event.materialization.metadata[MADE_NOW].value
            self._outcomes[asset] = "made" if made else "found"
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed:
                self._warnings[asset].append(check.check_name)
        elif event.event_type == dg.DagsterEventType.STEP_SUCCESS and asset in self._outcomes:
            seconds = entry.timestamp - self._began[asset]
            self._tell(News(asset, self._outcomes[asset], seconds=seconds, warnings=tuple(self._warnings[asset])))
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
            self._failed(asset, event)
        elif event.event_type == dg.DagsterEventType.RUN_FAILURE:
            error = event.job_failure_data.error
            self.interrupted = is_interruption(first_cause(error))
            if not self.reasons:
                self.reasons.append(event.message or "the run failed before a step began")


def _definitions() -> dg.Definitions:
    # By its name: it is built on top of this package.
    definitions: dg.Definitions = importlib.import_module("firefusion_assets.definitions").defs
    return definitions
