"""An asyncio loop whose clock jumps: an hour of waiting costs nothing, and the same seed runs the same way twice.

Where another loop asks its selector how long to sleep, this loop sets its clock to the next timer. Timers with the same
deadline run in the order in which they were set, so that nothing depends on the order inside a heap. Nothing else can
wake the loop: no thread, no socket, no signal. So if no callback is ready and no timer is set, nothing can ever happen
again. That is an error, which names the tasks that wait and where. A run without end is an error too: an endless retry
uses up the budget of callbacks.

Everything else is asyncio's own `BaseEventLoop`, with its real tasks and futures. The network is handed in
(`LoopNetwork`), and `create_server` and `create_connection` use it.

The loop also removes two other causes for differences between two runs. It lists tasks in the order of their creation,
where asyncio keeps a set. And it collects garbage after a fixed number of callbacks, because finalizers may schedule
further callbacks.

Every process is a `Life`. When a process is killed its life is over: its timers never fire, and its tasks are ended.
"""

import asyncio
import gc
import heapq
import itertools
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

CALLBACKS_MAX: Final = 20_000_000
"""Callbacks of one run. A few hundred nodes with thousands of records take a tenth of this."""

COLLECT_EVERY_CALLBACKS: Final = 200_000
"""Callbacks between two collections of garbage."""

CANCELS_MAX: Final = 100
"""How often the tasks of a process are cancelled before the run counts as stuck."""

_WAITING_SHOWN: Final = 12
"""Waiting tasks that an error names."""

_PURGE_TIMERS: Final = 512
"""Cancelled timers that stay in the heap at least, because each purge costs time."""


class Life:
    """One process, from its start to its end. Tasks and timers of the process find it in their context."""

    def __init__(self) -> None:
        self.is_over = False


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)


class StuckError(AssertionError):
    """The run cannot go on: no task will ever be woken, or a task is woken without end."""


class LoopNetwork(Protocol):
    """What a loop needs of a network; see `simulations.world.network`."""

    def listen(self, factory: Callable[[], asyncio.BaseProtocol], host: str | None, port: int) -> Any:
        """Returns a server with the methods of `asyncio.Server`. `factory` makes the protocol of each connection."""

    async def connect(self, host: str, port: int) -> Any:
        """Returns one end of a new connection. Its `attach` gives it a protocol."""

    def resolve(self, host: str) -> str:
        """The address of a host name.

        Raises:
            OSError: no host has this name.
        """


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. `uncaught`: exceptions of callbacks, and of tasks that nobody waited for, as asyncio reports them."""

    def __init__(self, network: LoopNetwork | None = None, callbacks_max: int = CALLBACKS_MAX) -> None:
        """`network`: where connections go; a loop without one can only wait. `callbacks_max`: the budget of the run."""
        super().__init__()
        self.network = network
        self.callbacks = 0
        self.callbacks_max = callbacks_max
        self.uncaught: list[dict[str, Any]] = []
        self._now_s = 0.0
        self._collected_at = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._cancelled_timers = 0
        self._sequence = itertools.count()
        self._tasks: dict[asyncio.Task[Any], Life | None] = {}
        self.set_task_factory(self._new_task)  # type: ignore[arg-type]  # typeshed knows no context here
        self.set_exception_handler(lambda _, fault: self._note_uncaught(fault))

    def _note_uncaught(self, fault: dict[str, Any]) -> None:
        """Keep what nobody caught. A cancellation that `gather` keeps for a caller is none: the caller's process ended
        (seed 209).
        """
        if not isinstance(fault.get("exception"), asyncio.CancelledError):
            self.uncaught.append(fault)

    def time(self) -> float:
        """Seconds since the run began."""
        return self._now_s

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Every task that has not ended, in the order of creation."""
        return list(self._tasks)

    async def end_life(self, life: "Life") -> None:
        """End a process without any virtual time passing: nothing that it has begun goes on.

        Raises:
            StuckError: a task of the process does not end when it is cancelled.
        """
        life.is_over = True
        for _ in range(CANCELS_MAX):
            tasks = [task for task, owner in self._tasks.items() if owner is life]
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
        raise StuckError("the tasks of a process do not end when they are cancelled")

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        handle._scheduled = True  # type: ignore[attr-defined]  # so that `cancel` tells the loop
        heapq.heappush(self._timers, (when, next(self._sequence), handle))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """The same as `call_soon`, because the trip-wire makes sure that there is one thread only."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[[*_Ts], _T], *args: *_Ts) -> Any:  # noqa: ARG002
        raise StuckError(f"{func} wants to run in a thread: there are no threads under a virtual clock")

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        family, kind, protocol = 2, hints.get("type", 1) or 1, hints.get("proto", 0)
        return [(family, kind, protocol, "", (self._networked().resolve(str(host)), int(port)))]

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        return self._networked().listen(protocol_factory, host, port or 0)

    def add_reader(self, fd: Any, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Call this whenever a connection waits at the listening socket."""
        fd.tell(partial(callback, *args))

    def remove_reader(self, fd: Any) -> bool:
        fd.tell(None)
        return True

    async def connect_accepted_socket(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], sock: Any, **_: Any
    ) -> Any:
        protocol = protocol_factory()
        return sock.end.attach(protocol), protocol

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: Any = None,
        sock: Any = None,
        **_: Any,
    ) -> Any:
        assert not ssl, "connections in memory have no TLS: the tests on loopback cover it"
        if sock is None:
            assert host is not None, "without a socket, the caller names a host"
            assert port is not None, "without a socket, the caller names a port"
            end = await self._networked().connect(host, port)
        else:
            end = sock.end
        protocol = protocol_factory()
        return end.attach(protocol), protocol

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Connect for a library that makes the socket itself; see `tripwire.UnboundSocket`."""
        sock.end = await self._networked().connect(*address[:2])

    def __del__(self, *_: object) -> None:
        """Do not warn, as asyncio does, about a loop that was not closed: this loop holds nothing of the system."""

    def close(self) -> None:
        self._timers.clear()
        super().close()

    def _networked(self) -> LoopNetwork:
        assert self.network is not None, "this loop has no network"
        return self.network

    def _new_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _T], **more: Any
    ) -> asyncio.Task[_T]:
        task = asyncio.Task(coroutine, loop=loop, **more)
        self._tasks[task] = (more.get("context") or copy_context()).get(LIFE)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:  # noqa: ARG002 - asyncio calls it so
        """Purge the heap before cancelled timers are half of it. Most timers are timeouts that get cancelled."""
        self._cancelled_timers += 1
        if self._cancelled_timers > max(_PURGE_TIMERS, len(self._timers) // 2):
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    def _run_once(self) -> None:
        """Do what asyncio's own method does, without a selector."""
        if not self._ready and not self._stopping:  # type: ignore[attr-defined]
            self._jump()
        while self._timers and self._timers[0][0] <= self._now_s:
            handle = heapq.heappop(self._timers)[2]
            handle._scheduled = False  # type: ignore[attr-defined]
            life = handle._context.get(LIFE)  # type: ignore[attr-defined]
            if life is None or not life.is_over:
                self._ready.append(handle)  # type: ignore[attr-defined]
        for _ in range(len(self._ready)):  # type: ignore[attr-defined]
            handle = self._ready.popleft()  # type: ignore[attr-defined]
            if not handle.cancelled():
                self.callbacks += 1
                handle._run()
        if self.callbacks >= self._collected_at + COLLECT_EVERY_CALLBACKS:
            self._collected_at = self.callbacks
            gc.collect()
        self._check_budget()

    def _jump(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
            self._cancelled_timers -= 1
        if not self._timers:
            raise StuckError(f"nothing is ready and no timer is set:\n{self._waiting()}")
        self._now_s = max(self._now_s, self._timers[0][0])

    def _check_budget(self) -> None:
        if self.callbacks > self.callbacks_max:
            words = f"{self.callbacks} callbacks by second {self._now_s:.3f}: something repeats without end"
            raise StuckError(f"{words}\n{self._waiting()}")

    def _waiting(self) -> str:
        """A line for each task that has not ended, with the places where it waits. Tasks of no process come first: the
        run itself, and its users. A process has many tasks that rightly wait.
        """
        tasks = sorted(self._tasks, key=lambda task: self._tasks[task] is not None)
        lines = [f"  {task.get_name()} waits in {' > '.join(_places(task))}" for task in tasks[:_WAITING_SHOWN]]
        if len(tasks) > _WAITING_SHOWN:
            lines.append(f"  and {len(tasks) - _WAITING_SHOWN} more")
        return "\n".join(lines)


def _places(task: asyncio.Task[Any]) -> Iterator[str]:
    """Each coroutine of a task that waits, with its line, the innermost last. `Task.get_stack` has only the first."""
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield f"{frame.f_code.co_qualname}:{frame.f_lineno}"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)


def run_to_end(main: Coroutine[Any, Any, _T], loop: VirtualLoop) -> _T:
    """Run the coroutine to its end on the loop. Then end all other tasks in the order of creation, and close the loop.

    Raises:
        StuckError: the run cannot go on.
    """
    with _no_automatic_collection():
        try:
            return loop.run_until_complete(main)
        finally:
            loop.callbacks_max = loop.callbacks + CALLBACKS_MAX  # a run without callbacks left is tidied up too
            try:
                _end_tasks(loop)
                loop.run_until_complete(loop.shutdown_asyncgens())
            finally:
                loop.close()


def _end_tasks(loop: VirtualLoop) -> None:
    for _ in range(CANCELS_MAX):
        tasks = loop.tasks()
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
    raise StuckError(f"these tasks do not end when they are cancelled:\n{loop._waiting()}")


@contextmanager
def _no_automatic_collection() -> Iterator[None]:
    """Let only the loop collect garbage until the block ends: after the same callbacks in every run, whatever else is
    in memory.
    """
    was_enabled, is_frozen = gc.isenabled(), gc.get_freeze_count() > 0
    if not is_frozen:
        gc.freeze()  # so that objects from before are not examined again and again
    gc.disable()
    try:
        yield
    finally:
        if not is_frozen:  # otherwise they belong to whoever froze them before the run
            gc.unfreeze()
        if was_enabled:
            gc.enable()
