"""How long the code location takes to load, against `import dagster` alone."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

_RUNS = 7


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield the median seconds of a process that imports the definitions, and of one that imports dagster."""
    commands = ("import firefusion_assets.definitions", "import dagster")
    seconds: dict[str, list[float]] = {command: [] for command in commands}
    for _ in range(_RUNS):  # in turns, so that a slow moment of the machine hits both
        for command in commands:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", command], check=True)
            seconds[command].append(time.perf_counter() - start)
    ours, baseline = (statistics.median(seconds[command]) for command in commands)
    yield "loading the code location, s (baseline: import dagster)", ours, baseline
