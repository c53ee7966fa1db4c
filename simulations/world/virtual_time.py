"""An asyncio loop whose clock jumps: an hour of waiting costs nothing, and the same seed runs the same way twice.

Where a loop asks its selector how long to sleep, this one sets its clock to the next timer. Timers of one deadline run
in the order in which they were set, so nothing depends on a heap's whims. Nothing else can wake it: no thread, no
socket, no signal. So when nothing is ready and no timer is set, nothing will ever happen again, and that is an error
that says who waits and where. Time that does not end is one too: an endless retry shows as too many callbacks.

The rest is asyncio's own `BaseEventLoop`, and every task and future on it the real one. Its network is handed in
(`LoopNetwork`): `create_server` and `create_connection` lead there.

What else makes two runs differ is kept away here: tasks are listed in the order of their creation (asyncio keeps a
set), and the garbage collector runs after a fixed number of callbacks, as what it finalizes may schedule more.

A process that is killed is a `Life` that is over: its timers never come, and its tasks are ended.
"""

import asyncio
import gc
import heapq
import itertools
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

CALLBACKS_MAX: Final = 20_000_000
"""Of one run. Some hundred nodes and thousands of records take a tenth."""

COLLECT_EVERY_CALLBACKS: Final = 200_000
_WAITING_SHOWN: Final = 12
_PURGE_TIMERS: Final = 512


CANCELS_MAX: Final = 100


class Life:
    """One process, from its start to its end, known to all that it begins by the context."""

    def __init__(self) -> None:
        self.is_over = False


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)


class StuckError(AssertionError):
    """The run cannot go on: nobody will ever be woken, or somebody never stops waking."""


class LoopNetwork(Protocol):
    """What a loop needs of a network; see `simulations.world.network`."""

    def listen(self, factory: Callable[[], asyncio.BaseProtocol], host: str | None, port: int) -> Any:
        """An `asyncio.Server`, or what looks like one."""

    async def connect(self, host: str, port: int) -> Any:
        """One end of a connection, to which a protocol is given by `attach`."""

    def resolve(self, host: str) -> str:
        """The address that a host name stands for. Raises: OSError."""


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. `uncaught` gathers what went wrong in callbacks and tasks that nobody waited for."""

    def __init__(self, network: LoopNetwork | None = None, callbacks_max: int = CALLBACKS_MAX) -> None:
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
        self.set_exception_handler(lambda _, fault: self.uncaught.append(fault))

    def time(self) -> float:
        """Seconds since the run began."""
        return self._now_s

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Every task that has not ended, in the order of their creation."""
        return list(self._tasks)

    async def end_life(self, life: "Life") -> None:
        """Let a process be gone, in no time: nothing that it has begun goes on."""
        life.is_over = True
        for _ in range(CANCELS_MAX):
            tasks = [task for task, owner in self._tasks.items() if owner is life]
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
        raise StuckError("a process does not end, whose tasks are cancelled again and again")

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        handle._scheduled = True  # type: ignore[attr-defined]  # so that cancelling it is told to the loop
        heapq.heappush(self._timers, (when, next(self._sequence), handle))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """The same as `call_soon`: there is one thread, and the trip-wire sees to it."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[[*_Ts], _T], *args: *_Ts) -> Any:  # noqa: ARG002
        raise StuckError(f"{func} was to run in a thread: there is none under a virtual clock")

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        family, kind, protocol = 2, hints.get("type", 1) or 1, hints.get("proto", 0)
        return [(family, kind, protocol, "", (self._networked().resolve(str(host)), int(port)))]

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        return self._networked().listen(protocol_factory, host, port or 0)

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
        assert not ssl, "connections in memory are plain: what TLS adds is tested on loopback"
        if sock is None:
            assert host is not None, "a connection leads somewhere"
            assert port is not None, "a connection leads somewhere"
            end = await self._networked().connect(host, port)
        else:
            end = sock.end
        protocol = protocol_factory()
        return end.attach(protocol), protocol

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """For libraries that make the socket themselves: see `tripwire.UnboundSocket`."""
        sock.end = await self._networked().connect(*address[:2])

    def __del__(self, *_: object) -> None:
        """Nothing of the system is held, so one that never ran need not be closed."""

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
        """Most timers are timeouts that never come: drop them before they are half of the heap."""
        self._cancelled_timers += 1
        if self._cancelled_timers > max(_PURGE_TIMERS, len(self._timers) // 2):
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    def _run_once(self) -> None:
        """What asyncio's own does, without asking a selector."""
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
            raise StuckError("nothing is ready and no timer is set:\n" + "\n".join(self._waiting()))
        self._now_s = max(self._now_s, self._timers[0][0])

    def _check_budget(self) -> None:
        if self.callbacks > self.callbacks_max:
            raise StuckError(f"{self.callbacks} callbacks by second {self._now_s:.3f}: something is repeated for ever")

    def _waiting(self) -> Iterator[str]:
        for task in self.tasks()[:_WAITING_SHOWN]:
            frames = [f"{frame.f_code.co_qualname}:{frame.f_lineno}" for frame in task.get_stack(limit=4)]
            yield f"  {task.get_name()} waits in {' > '.join(frames)}"


def run_to_end(main: Coroutine[Any, Any, _T], loop: VirtualLoop) -> _T:
    """Run this to its end on the loop, then end all other tasks, in the order of their creation, and close it."""
    with _collected_by_count():
        try:
            return loop.run_until_complete(main)
        finally:
            loop.callbacks_max = loop.callbacks + CALLBACKS_MAX  # however it ended, it is tidied up
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
    raise StuckError("tasks that do not end when they are cancelled:\n" + "\n".join(loop._waiting()))


@contextmanager
def _collected_by_count() -> Iterator[None]:
    """Leave it to the loop when garbage is collected: at the same callbacks in every run, whatever lies in memory."""
    was_enabled = gc.isenabled()
    gc.freeze()  # what was there before is not looked at again and again
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
