"""One pool of worker processes: each ends with its parent, has a slot, and tells how it goes.

`concurrent.futures` runs a pool of one process a slot, so that a death names the work and the signal. A thread a slot
waits for its process; the parent's own thread hears of progress and takes results.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, Self, TypeVar

from firefusion_assets.core.errors import UserError
from firefusion_assets.core.gpu_usage import own_usage, told_by_child
from firefusion_assets.core.prefetch import ahead
from firefusion_assets.core.processes import end_with

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[str], None]
Work = Callable[[T, Progress], R]
"""What a worker does with an item; its second argument takes lines of progress."""

_LISTEN_S: Final = 0.1
"""Between two looks at what the workers tell."""
_GRACE_S: Final = 10.0
"""What a process may take to end when asked to; writing a large file to a slow disk takes seconds."""


class WorkerError(UserError, RuntimeError):
    """A worker process was killed or left; the message names its work and how it ended."""


class Workers(Generic[T, R]):
    """Processes that work on items; a context manager that leaves none of them behind.

    Left normally, it waits for work that has begun. Left by an error, it stops the workers at once: they are
    terminated, and killed if they haven't ended after a grace time.

    Args:
        n: number of processes; each starts when it is first needed.
        ready: called once in each process with its slot (from 0); returns what is done with an item. Has to pickle.
        name: what the work on an item is called in messages.
        progress: called in the caller's thread with the workers' lines while results are awaited.
    """

    def __init__(
        self, n: int, ready: Callable[[int], Work[T, R]], name: Callable[[T], str], progress: Progress
    ) -> None:
        self._name, self._progress = name, progress
        self._told: SimpleQueue[str] = SimpleQueue()
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._workers = [_Worker(slot, ready, self._told.put) for slot in range(n)]
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(n)
        self._death: WorkerError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._threads.shutdown(wait=error is None, cancel_futures=True)
        processes = [process for worker in self._workers for process in worker.leave()]
        if error is None:
            _wait_for(processes)
        for end in (SpawnProcess.terminate, SpawnProcess.kill):
            for process in processes:
                if process.exitcode is None:
                    end(process)
            _wait_for(processes)
        # A thread waits for as long as its process lives; one that even a kill doesn't end waits for a disk that hangs.
        self._threads.shutdown(wait=all(process.exitcode is not None for process in processes))

    def in_order(self, items: Iterable[T], n_ahead: int) -> Generator[R, None, None]:
        """Yield the result of each item, in their order.

        Args:
            items: taken one by one, as the work goes on.
            n_ahead: how many more items are begun before the result of one is taken.

        Raises:
            WorkerError: if a worker was killed.
            Exception: what the work raised.
        """
        with closing(ahead(self._threads, self._run, items, n_ahead)) as outcomes:
            for outcome in outcomes:
                self._await({outcome})
                yield outcome.result()

    def as_done(self, items: Iterable[T]) -> Iterator[R]:
        """Yield the results as they come; raises what `in_order` does."""
        waiting = {self._threads.submit(self._run, item) for item in items}
        while waiting:
            done = self._await(waiting)
            waiting -= done
            yield from (outcome.result() for outcome in done)

    def _run(self, item: T) -> R:
        if self._death is not None:
            raise self._death  # else another item would be blamed for it
        worker = self._idle.get_nowait()  # there are as many threads as workers
        try:
            result: R = worker.run(item, self._name(item))
            return result
        except WorkerError as death:
            self._death = death
            raise
        finally:
            self._idle.put(worker)

    def _await(self, outcomes: set["Future[R]"]) -> set["Future[R]"]:
        """Return those that are done, at least one; pass on the workers' lines meanwhile."""
        done: set[Future[R]] = set()
        while not done:
            done = wait(outcomes, _LISTEN_S, FIRST_COMPLETED).done
            try:
                while True:
                    self._progress(self._told.get_nowait())
            except Empty:
                pass
        return done


class _Context(SpawnContext):
    """Starts processes afresh, as a forked one can't use CUDA, and remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        process = SpawnProcess(*arguments, **options)
        self.started.append(process)
        return process


class _Worker:
    """One process, which starts when it is first needed, and the pipe through which it tells how it goes."""

    def __init__(self, slot: int, ready: Callable[[int], Work[Any, Any]], tell: Progress) -> None:
        self._tell = tell
        self._context = _Context()
        # A pipe of its own: one that is shared would be blocked by whoever is killed while writing to it.
        self._receiver, self._sender = multiprocessing.Pipe(duplex=False)
        # Nothing heavy: what is imported for it is imported before the process watches its parent.
        self._pool = ProcessPoolExecutor(1, self._context, _start, (os.getpid(), self._sender))
        self._first: tuple[Any, ...] = (slot, ready)

    def run(self, item: Any, name: str) -> Any:
        """Return what the work on an item gives."""
        try:
            outcome = self._pool.submit(_work_on, item, *self._first)
            self._sender.close()  # the process's end is now the only one
            while not outcome.done():  # what `wait` calls done leaves out what was cancelled when the pool was left
                wait([outcome], _LISTEN_S)
                self._listen()
            self._listen()
            result, used = outcome.result()
            told_by_child(used)
            self._first = ()
            return result
        except BrokenProcessPool as error:
            if error.__cause__ is not None:  # the process lives, but what it sent doesn't unpickle
                for process in self._context.started:
                    process.kill()  # the pool asks it to end, and waits for ever for one that doesn't
                raise WorkerError(f"{name}: its outcome can't be read:\n{error.__cause__}") from None
            raise WorkerError(f"{name} was ended by {self._end()}") from None

    def _listen(self) -> None:
        try:
            while self._receiver.poll():
                self._tell(self._receiver.recv())
        except (EOFError, OSError):
            pass  # the process has ended, maybe while it wrote; its outcome says how

    def _end(self) -> str:
        (process,) = self._context.started
        _wait_for([process])
        code = process.exitcode
        if code is not None and code < 0:
            return f"signal {-code} (out of memory?)"
        return f"exit code {code}"

    def leave(self) -> list[SpawnProcess]:
        """Take no more work; return the process, if it ever started, which may leave when it has nothing to do."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        return [process for process in self._context.started if process.pid is not None]


def _wait_for(processes: list[SpawnProcess]) -> None:
    """Wait until processes have ended, for the grace time at most."""
    limit = time.monotonic() + _GRACE_S
    while any(process.exitcode is None for process in processes) and time.monotonic() < limit:
        time.sleep(0.01)


_pipe: "Connection[Any, Any]"
_work: Work[Any, Any] | None = None
"""Of a worker process: where it tells how it goes, and what it does with an item."""


def _start(parent: int, pipe: "Connection[Any, Any]") -> None:
    global _pipe
    end_with(parent)
    _pipe = pipe


def _work_on(item: Any, slot: int = 0, ready: Callable[[int], Work[Any, Any]] | None = None) -> Any:
    """Return what the work on an item gives, and what it used of a GPU; the first item gets the process ready."""
    began = time.monotonic()
    global _work
    if _work is None and ready is not None:
        _work = ready(slot)
    if _work is None:
        raise RuntimeError("this worker was never made ready")
    return _work(item, _pipe.send), own_usage(time.monotonic() - began)
