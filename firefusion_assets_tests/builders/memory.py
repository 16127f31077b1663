"""How much anonymous memory a process takes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Peak:
    """The most that was resident so far, in MiB."""

    mib: float


@contextmanager
def watched_rss_anon() -> Iterator[Peak]:
    """Watch this process' RssAnon, a hundred times a second."""
    peak, ended = Peak(_rss_anon_mib()), threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            peak.mib = max(peak.mib, _rss_anon_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join(30)  # it looks every 10 ms whether to end
        peak.mib = max(peak.mib, _rss_anon_mib())


def _rss_anon_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024
