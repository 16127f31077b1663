"""What `firefusion run` shows: one line a step, and on a terminal how far the running ones are."""

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, cast

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from firefusion_assets.lineage.assets import AssetName
    from firefusion_assets.orchestration.running import News

_PLAIN_EVERY_S: Final = 60
"""How often a long step says how far it is where lines can't be written over."""
_COUNT: Final = re.compile(r"(\d+) ?(?:of|/) ?(\d+)")


@contextmanager
def diverted_output(log: Path) -> Iterator[TextIO]:
    """Send all that this process and its children print into a file; yields a stream to where it went before."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = os.dup(1), os.dup(2)
    with os.fdopen(os.dup(1), "w", buffering=1) as stream:
        try:
            with log.open("ab") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            yield stream
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for place, descriptor in enumerate(before, start=1):
                os.dup2(descriptor, place)
                os.close(descriptor)


class StepLines:
    """Writes the lines of a run.

    Args:
        stream: where to.
        name: what all lines begin with.
        assets: names of the steps.

    Attributes:
        warned: names of the checks that warn, of each asset that is done.
    """

    def __init__(self, stream: TextIO, name: str, assets: list[str]) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._name, self._n_steps = name, len(assets)
        self._width = max(map(len, assets))
        words = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True))
        # Standard output and error lead to the log, and are to stay there.
        self._progress = Progress(
            *(SpinnerColumn(), words, TimeElapsedColumn()),
            console=self._console,
            transient=True,
            expand=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._numbers: dict[str, int] = {}
        self._running: dict[str, TaskID] = {}
        self._first: dict[tuple[str, str], tuple[float, int]] = {}
        self._last_plain = time.monotonic()
        self.warned: dict[AssetName, Sequence[str]] = {}

    def shown(self) -> AbstractContextManager[object]:
        """Keep the lines of running steps on the screen while the block runs, where it is one."""
        return self._progress if self._console.is_terminal else nullcontext()

    def tell(self, news: "News") -> None:
        """Show what happened to a step."""
        if news.kind == "started":
            self._numbers[news.asset] = len(self._numbers) + 1
            self._running[news.asset] = self._progress.add_task(self._line(news.asset, ""), total=None)
        elif news.kind == "told":
            self._told(news)
        else:
            self._progress.remove_task(self._running.pop(news.asset))
            self.warned[cast("AssetName", news.asset)] = news.warnings
            self._print(self._line(news.asset, _outcome(news)), "red" if news.kind == "failed" else "")

    def _told(self, news: "News") -> None:
        # A table or traceback is for the log.
        words = news.text.strip()
        if "\n" in words or news.asset not in self._running:
            return
        line = self._line(news.asset, words + self._left(news.asset, words))
        self._progress.update(self._running[news.asset], description=line)
        if not self._console.is_terminal and time.monotonic() - self._last_plain > _PLAIN_EVERY_S:
            self._print(line)

    def _left(self, asset: str, words: str) -> str:
        """Estimate the time left by how fast the number before `of` rises; the step's own estimate is better."""
        count = _COUNT.search(words)
        if count is None or "left" in words:
            return ""
        done, total, now = int(count[1]), int(count[2]), time.monotonic()
        began, first = self._first.setdefault((asset, words[: count.start()]), (now, done))
        if not first < done < total:
            return ""
        return f", about {duration((now - began) * (total - done) / (done - first))} left"

    def _line(self, asset: str, text: str) -> str:
        return f"{self._name}  {self._numbers[asset]:>2}/{self._n_steps}  {asset:<{self._width}}  {text}".rstrip()

    def _print(self, line: str, style: str = "") -> None:
        self._last_plain = time.monotonic()
        self._console.print(Text(line, style=style))


def duration(seconds: float) -> str:
    """Return a time as people say it: `0.4 s`, `41 s`, `3 min 12 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _outcome(news: "News") -> str:
    if news.kind in ("failed", "stopped"):
        return news.kind
    words = "found" if news.kind == "found" else f"made in {duration(news.seconds)}"
    return f"{words}; check {', '.join(news.warnings)} warns" if news.warnings else words
