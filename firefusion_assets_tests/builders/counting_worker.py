"""An app of celery's workers that are soon taken for lost, with a task that writes down when it is begun."""

import time
from pathlib import Path
from typing import Final

from firefusion_assets.orchestration.celery_worker import NOT_LOST, worker_app

LOST_AFTER_S: Final = 3

app = worker_app(LOST_AFTER_S)


@app.task(**NOT_LOST)
def wait(begun: str, until: str) -> None:
    """Add a line to a file, then wait until another is there."""
    with Path(begun).open("a") as lines:
        lines.write("begun\n")
    while not Path(until).exists():
        time.sleep(0.05)
