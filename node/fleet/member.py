"""Member: one process of a fleet, whose role may change while it runs.

    start -> the lock is free: writer; otherwise follower
    follower -> it gets the lock: writer. Its old node answers until the new one can.
    follower -> its server failed over, or the database was restored: follower
    writer -> it loses its session, or a commit finds a higher term: follower

A role is a whole node, made and ended with the role. What a writer has in memory is ahead of the disk, and what a
follower has in memory may be of commits that the database has lost. So a process that becomes a follower forgets all of
it. The sockets outlive the change, so that callers wait and are not refused. If the database cannot be reached in that
moment, the process ends, and its supervisor starts it again.
"""

import asyncio
import os
import platform
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final, Protocol, Self

import structlog

from node.disk import ADMIN_TOKEN, NODE_KEY
from node.fleet.following import OtherDatabaseError
from node.fleet.membership import Membership, url_for_others
from node.fleet.passport import secret_of
from node.fleet.secrets import shared_secret
from node.fleet.standing import Role, Standing
from node.listening import open_sockets
from node.settings.settings import Settings
from node.store.contract import StoreError
from node.store.postgresql import SILENCE, Candidacy, Lookout, PostgresStore, Silence, WriterSession
from node.world import World
from protocol.signing import SEED_BYTES, SigningKey

TOKEN_BYTES: Final = 32

_RETRY_S: Final = 1.0
"""Seconds until a process that follows tries again to get the right to write, or to use it."""

_AWAY_S_MAX: Final = 10.0
"""How long a process without a node waits for a server that is away. Its callers wait too. Then it ends."""

_FIRST_TRIES: Final = 20
"""How often a process tries to follow a database that its writer is just preparing."""

log = structlog.get_logger()


class MemberNode(Protocol):
    """A node as a member knows it: `node.node.Node`."""

    url: str

    @property
    def failed(self) -> "asyncio.Future[None]": ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    def fail(self, error: BaseException) -> None: ...

    def reload(self) -> None: ...


MakeNode = Callable[[Settings, World, Membership], MemberNode]


class Member:
    """One process of a fleet, to be entered with `async with`.

    `url` is where it answers. `failed` raises the error because of which the process has to end. `watchers` are called
    when another node has taken the place of its node, which has ended.
    """

    url: str
    role: Role
    failed: "asyncio.Future[None]"
    _node: MemberNode
    _candidacy: Candidacy
    _key: SigningKey
    _admin_token: str
    _sockets: Sequence[socket.socket]
    _at: str

    def __init__(
        self, settings: Settings, make_node: MakeNode, world: World | None = None, silence: Silence = SILENCE
    ) -> None:
        assert settings.store is not None, "a fleet has a database"
        self._settings = settings
        self._database = settings.store
        self._make_node = make_node
        self._world = world or World()
        self._silence = silence
        self._holder = f"{platform.node()}, process {os.getpid()}"
        self.watchers: list[Callable[[], None]] = []
        self._endings = AsyncExitStack()
        self._changing: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[WriterSession] | None = None

    async def __aenter__(self) -> Self:
        self.failed = asyncio.get_running_loop().create_future()
        try:
            await self._start()
        except BaseException:
            await self._endings.aclose()
            raise
        self._changing = asyncio.create_task(self._change_roles(), name="role in the fleet")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._changing is not None:
            self._changing.cancel()
            await asyncio.gather(self._changing, return_exceptions=True)
        await self._node.__aexit__(None, None, None)
        await self._endings.aclose()

    def reload(self) -> None:
        self._node.reload()

    async def _start(self) -> None:
        self._endings.enter_context(self._world.disk.held(self._settings.data))
        self._candidacy = await Candidacy.open(self._database, self._silence)
        self._endings.push_async_callback(self._give_up_candidacy)
        await self._share_secrets()
        self._sockets = await open_sockets(self._settings.host, self._settings.port)
        for each in self._sockets:
            self._endings.callback(each.close)
        self._at = url_for_others(self._settings, self._sockets[0].getsockname()[1])
        session = await self._candidacy.take_now(self._holder, self._at)
        if session is None:
            self._stand()
            self.role, self._node = Role.FOLLOWER, await self._follow_at_first()
        else:
            self.role, self._node = Role.WRITER, await self._write(session)
        self.url = self._node.url

    async def _share_secrets(self) -> None:
        """Take the key and the admin token of the fleet that uses this database.

        Raises:
            CannotStartError: this process has others, so it belongs to another fleet.
            StoreError: the server cannot be reached.
        """
        data, disk, token_bytes = self._settings.data, self._world.disk, self._world.token_bytes
        key = await shared_secret(self._candidacy, disk, data / NODE_KEY, SEED_BYTES, token_bytes)
        self._key = SigningKey(bytes.fromhex(key))
        self._admin_token = await shared_secret(self._candidacy, disk, data / ADMIN_TOKEN, TOKEN_BYTES, token_bytes)

    def _stand(self) -> None:
        """Begin to wait for the right to write. A session that does nothing would be ended by the server."""
        waiting = self._candidacy.take(self._holder, self._at)
        self._waiting = asyncio.create_task(waiting, name="waits for the right to write")

    async def _follow_at_first(self) -> MemberNode:
        """Follow. The writer may be about to make the database."""
        for _ in range(_FIRST_TRIES):
            with suppress(StoreError):
                return await self._follow()
            await asyncio.sleep(_RETRY_S / 4)
        return await self._follow()

    async def _write(self, session: WriterSession) -> MemberNode:
        """A node that writes by this session. Raises: StoreError: the session is lost already."""
        store = await PostgresStore.lead(self._database, session, self._world.token_bytes)
        standing = self._standing(Role.WRITER, store, lambda: session.term)
        standing.writer = self._at
        node = await self._enter(store, standing)
        session.lost.add_done_callback(lambda lost: None if lost.cancelled() else node.fail(lost.result()))
        log.info("this process writes", term=session.term)
        return node

    async def _follow(self) -> MemberNode:
        """A node that follows. Raises: StoreError: the database cannot be followed."""
        store = await PostgresStore.follow(self._database, self._silence)
        node = await self._enter(store, self._standing(Role.FOLLOWER, store))
        log.info("this process follows")
        return node

    def _standing(self, role: Role, store: PostgresStore, term: Callable[[], int] | None = None) -> Standing:
        clock = asyncio.get_running_loop().time
        return Standing(role, secret_of(self._key), clock, lambda: store.last_commit, term)

    async def _enter(self, store: PostgresStore, standing: Standing) -> MemberNode:
        """A node with this store, which it closes."""
        membership = Membership(
            standing,
            self._key,
            self._admin_token,
            store,
            self._sockets,
            lambda: Lookout.open(self._database, self._silence),
        )
        return await self._make_node(self._settings, self._world, membership).__aenter__()

    async def _change_roles(self) -> None:
        """Change the role again and again, until the process has to end."""
        try:
            while True:
                before = self._node
                await (self._be_writer() if self.role is Role.WRITER else self._be_follower())
                if self._node is not before:
                    del before
                    for watch in self.watchers:
                        watch()
        except Exception as error:
            if not self.failed.done():
                self.failed.set_exception(error)

    async def _be_writer(self) -> None:
        """Write as long as possible, then follow.

        Raises:
            Exception: the node failed for another reason, or the database cannot be reached.
        """
        await asyncio.wait([self._node.failed])
        error = self._node.failed.exception()
        assert error is not None, "a node ends by an error, or because its process ends"
        await self._node.__aexit__(None, None, None)
        if not isinstance(error, StoreError):
            raise error
        log.warning("this process writes no more", reason=str(error))
        await self._follow_anew(error)
        self.role = Role.FOLLOWER

    async def _follow_anew(self, error: StoreError) -> None:
        """Follow with a new node. The one before has ended by this error.

        Raises:
            StoreError: the same error, because the database cannot be reached.
            CannotStartError: the database is that of another fleet now.
        """
        end_s = asyncio.get_running_loop().time() + _AWAY_S_MAX
        while True:
            try:
                self._candidacy = await Candidacy.open(self._database, self._silence)
                await self._share_secrets()
                self._stand()
                self._node = await self._follow()
            except StoreError:
                await self._give_up_candidacy()
                if asyncio.get_running_loop().time() > end_s:
                    raise error from None
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _be_follower(self) -> None:
        """Follow until this process gets the right to write, then write.

        Raises:
            Exception: the node that follows has failed, and not because the database is another one.
        """
        assert self._waiting is not None, "a process that follows waits for the right to write"
        either: list[asyncio.Future[Any]] = [self._waiting, self._node.failed]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._node.failed.done():
            await self._read_anew(self._node.failed.exception())
            return
        try:
            following, self._node = self._node, await self._write(await self._waiting)
        except StoreError as error:
            log.warning("this process could not take over", reason=str(error))
            await self._stand_again()
            return
        await following.__aexit__(None, None, None)
        self.role = Role.WRITER

    async def _read_anew(self, error: BaseException | None) -> None:
        """Forget what was read, and follow the database as it is now. A node that follows has ended by this error.

        Raises:
            BaseException: this error, if it says nothing of the database.
            StoreError: the database cannot be reached. CannotStartError: the database is that of another fleet.
        """
        assert error is not None, "a node ends by an error, or because its process ends"
        if not isinstance(error, OtherDatabaseError):
            raise error
        log.warning("this process reads the database anew", reason=str(error))
        await self._give_up_candidacy()
        await self._node.__aexit__(None, None, None)
        await self._follow_anew(error)

    async def _stand_again(self) -> None:
        """Open another session that waits, because the last one is lost."""
        while True:
            await self._give_up_candidacy()
            await asyncio.sleep(_RETRY_S)
            with suppress(StoreError):
                self._candidacy = await Candidacy.open(self._database, self._silence)
                self._stand()
                return

    async def _give_up_candidacy(self) -> None:
        """Wait no more for the right to write."""
        if self._waiting is not None:
            self._waiting.cancel()
            (taken,) = await asyncio.gather(self._waiting, return_exceptions=True)
            if isinstance(taken, WriterSession):  # it came at this very moment, or has ended before
                await taken.close()
        await self._candidacy.close()
