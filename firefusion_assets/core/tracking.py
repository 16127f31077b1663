"""Losses, figures and pictures for an experiment tracker, where the environment names one.

The trackers are accelerate's. Nothing that is made depends on them: a run without one gives the same bytes.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from firefusion_assets.core.errors import UserError

TRACKER: Final = "FIREFUSION_TRACKER"
"""Environment variable with the name of a tracker; none by default."""

TRACKERS: Final = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
"""Modules of the trackers, each an extra of its name."""

_RUN: Final = "FIREFUSION_TRACKED_RUN"
"""Environment variable that hands the run to processes that train."""


class TrackerError(UserError, RuntimeError):
    """A tracker that can't be used here. The message says what to do."""


class Run(NamedTuple):
    """What figures belong to.

    Attributes:
        project: name of the study.
        group: runs that the tracker shows together: those of a config.
        name: of the run in its group.
        folder: where files of the tracker go that it doesn't send anywhere.
    """

    project: str
    group: str
    name: str
    folder: str


class Tracker(Protocol):
    """An open run of a tracker."""

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Note figures of a step."""

    def picture(self, name: str, file: Path, step: int = 0) -> None:
        """Note a picture of a step, from a PNG file."""


@contextmanager
def tracked(run: Run, settings: Mapping[str, Any]) -> Iterator[Tracker]:
    """Open a run; trainings inside, in processes of their own too, open others of its group.

    Args:
        run: what is done inside.
        settings: what it is done with.

    Raises:
        TrackerError: if the environment names a tracker that is unknown or isn't installed.
    """
    with _opened(run, settings) as tracker:
        os.environ[_RUN] = json.dumps(run)
        try:
            yield tracker
        finally:
            del os.environ[_RUN]


@contextmanager
def tracked_training(name: str) -> Iterator[Tracker]:
    """Open a run for one training of the tracked run that this process works for, if it works for one."""
    # Of several processes that train one network the first one reports.
    if _RUN not in os.environ or os.environ.get("RANK", "0") != "0":
        yield NoTracker()
        return
    run = Run(*json.loads(os.environ[_RUN]))
    with _opened(run._replace(name=f"{run.name} {name}".strip()), {}) as tracker:
        yield tracker


@contextmanager
def _opened(run: Run, settings: Mapping[str, Any]) -> Iterator[Tracker]:
    name = os.environ.get(TRACKER, "")
    if not name:
        yield NoTracker()
        return
    if name not in TRACKERS:
        raise TrackerError(f"{TRACKER}: {name!r} is unknown; known are {', '.join(TRACKERS)}")
    if find_spec(TRACKERS[name]) is None:
        raise TrackerError(f"{TRACKER}: {name} isn't installed; pip install 'firefusion-assets[{name}]'")
    tracker = _of_accelerate(name, run, settings)
    tracker.start()
    try:
        yield _Accelerated(tracker)
    finally:
        tracker.finish()


def _of_accelerate(name: str, run: Run, settings: Mapping[str, Any]) -> Any:
    from accelerate import PartialState, tracking

    PartialState()  # its log lines ask for it
    folder = Path(run.folder) / name
    folder.mkdir(parents=True, exist_ok=True)
    if name == "tensorboard":
        return tracking.TensorBoardTracker(f"{run.group}/{run.name}", folder)
    if name == "mlflow":
        artifacts = None  # where the server keeps them
        if "MLFLOW_TRACKING_URI" not in os.environ:
            import mlflow

            mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
            artifacts = (folder / "artifacts").as_uri()
        tags = {"group": run.group} | {key: str(value) for key, value in settings.items()}
        return tracking.MLflowTracker(
            run.project, artifacts, run_name=f"{run.group} {run.name}", tags=tags, nested_run=True
        )
    return tracking.WandBTracker(
        run.project,
        group=run.group,
        name=f"{run.group} {run.name}",
        config=dict(settings),
        dir=folder,
        reinit="create_new",  # a training's run is open beside that of its step
        settings={"console": "off"},
    )


class _Accelerated:
    """One of accelerate's trackers."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Send figures."""
        self._tracker.log(dict(values), step=step)

    def picture(self, name: str, file: Path, step: int = 0) -> None:
        """Send a picture."""
        if self._tracker.name == "mlflow":
            self._tracker.log_artifact(str(file), name)
            return
        import numpy as np
        from PIL import Image

        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        more = {"dataformats": "NHWC"} if self._tracker.name == "tensorboard" else {}
        self._tracker.log_images({name: pixels[None]}, step=step, **more)


class NoTracker:
    """Drops everything."""

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Drop figures."""

    def picture(self, name: str, file: Path, step: int = 0) -> None:
        """Drop a picture."""
