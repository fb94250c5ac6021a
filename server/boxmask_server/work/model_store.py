"""The bundles that a server holds, in versions, and how they are exchanged while it runs.

A version is loaded, compared with the answers that it was exported with, and warmed up, and only then takes
the place of the old one. The old one finishes what it has begun and is closed when nobody uses it any more.
What fails leaves the old one where it is.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from boxmask_core.bundle import MANIFEST, Bundle
from boxmask_core.errors import BoxmaskError, ModelNotFoundError
from boxmask_server.networks.probe import check_probes
from boxmask_server.work.bundle_places import BundlePlace, find_versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from types import TracebackType

    from boxmask_server.work.pipelines import Engines, Pipelines

logger = logging.getLogger(__name__)


class Outcome(enum.Enum):
    """What became of a version when the store looked again."""

    LOADED = "loaded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of one version of a bundle.

    Attributes:
        bundle: The bundle.
        version: The version; empty where none was found.
        outcome: What became of it.
        problem: Why it cannot be used; empty otherwise.
    """

    bundle: str
    version: str
    outcome: Outcome
    problem: str = ""


@dataclass(slots=True, eq=False)
class Held:
    """One version of a bundle that answers.

    Attributes:
        bundle: What requests call the bundle.
        version: Its version.
        class_names: Its classes.
        engines: Its networks.
        pipelines: What answers with them.
        content: Digest of its manifest, which holds the digests of all its files.
    """

    bundle: str
    version: str
    class_names: tuple[str, ...]
    engines: Engines
    pipelines: Pipelines
    content: str = ""
    _users: int = 0
    _unused: asyncio.Event = field(default_factory=asyncio.Event)
    _opened: AsyncExitStack = field(default_factory=AsyncExitStack)

    @asynccontextmanager
    async def used(self) -> AsyncIterator[Held]:
        """Keeps it open while the block runs."""
        self._users += 1
        self._unused.clear()
        try:
            yield self
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def close(self) -> None:
        """Closes it when nobody uses it any more."""
        if self._users:
            await self._unused.wait()
        await self._opened.aclose()


class ModelStore:
    """Holds bundles; an asynchronous context manager that loads them all, and closes them at the end.

    Args:
        sources: What requests call each bundle, and where it lies; the first answers who asks for none by
            name.
        load: Loads the networks of a bundle; called in a thread.
        open_up: Opens the pipelines of its networks, warmed up.
        versions: Which versions are held: ``latest``, ``all``, or one number.
    """

    def __init__(
        self,
        sources: Iterable[tuple[str, Path]],
        load: Callable[[Bundle], Engines],
        open_up: Callable[[Engines], AbstractAsyncContextManager[Pipelines]],
        *,
        versions: str = "latest",
    ) -> None:
        self._sources = list(sources)
        self._load = load
        self._open_up = open_up
        self._versions = versions
        self._held: list[Held] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Loads every bundle.

        Raises:
            BundleError: One is missing, damaged, or does not answer as it was exported.
            DeviceError: The device is not to be had.
        """
        try:
            for bundle, folder in self._sources:
                for place in find_versions(bundle, folder, self._versions):
                    self._held.append(await self._opened(place, await _loaded(place)))
        except BaseException:
            await self._close_all()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_all()

    def add(self, held: Held) -> None:
        """Holds what is open already; it is not looked for again, nor closed."""
        self._held.append(held)

    def held(self) -> tuple[Held, ...]:
        """Returns what answers: by bundle in the order given, then by version, the latest first."""
        return tuple(self._held)

    @asynccontextmanager
    async def use(self, bundle: str = "", version: str = "") -> AsyncIterator[Held]:
        """Gives a version of a bundle, and keeps it open while the block runs.

        Args:
            bundle: The bundle; empty for the first.
            version: Its version; empty for the latest.

        Raises:
            ModelNotFoundError: It is not held.
        """
        async with self._find(bundle, version).used() as held:
            yield held

    async def reload(self) -> list[Reload]:
        """Looks at every source again and takes what has changed.

        Returns:
            What became of every version that is there, or was.
        """
        async with self._one_at_a_time:
            reloads: list[Reload] = []
            for bundle, folder in self._sources:
                reloads += await self._reload(bundle, folder)
            for reload in reloads:
                level = logging.ERROR if reload.outcome is Outcome.FAILED else logging.INFO
                told = f"{reload.bundle} version {reload.version or '?'}: {reload.outcome.value}"
                logger.log(level, "%s%s", told, f": {reload.problem}" if reload.problem else "")
            return reloads

    async def _reload(self, bundle: str, folder: Path) -> list[Reload]:
        try:
            places = find_versions(bundle, folder, self._versions)
        except BoxmaskError as error:
            return [Reload(bundle, "", Outcome.FAILED, str(error))]
        before = {held.version: held for held in self._held if held.bundle == bundle}
        after, reloads = [], []
        for place in places:
            held, reload = await self._taken(place, before.get(place.version))
            reloads.append(reload)
            after += [held] if held is not None else []
        if any(reload.outcome is Outcome.FAILED for reload in reloads) and not after:
            after = list(before.values())  # the new version cannot be used: the old one stays
        gone = [held for version, held in before.items() if version not in {held.version for held in after}]
        reloads += [Reload(bundle, held.version, Outcome.REMOVED) for held in gone]
        self._exchange(bundle, after)
        return reloads

    async def _taken(self, place: BundlePlace, held: Held | None) -> tuple[Held | None, Reload]:
        """Returns what is to be held at a place from now on, and how that came."""
        try:
            bundle = await _loaded(place)
            if held is not None and _content(bundle) == held.content:
                return held, Reload(place.bundle, place.version, Outcome.UNCHANGED)
            return await self._opened(place, bundle), Reload(place.bundle, place.version, Outcome.LOADED)
        except Exception as error:  # whatever is wrong with it, what is held goes on
            if not isinstance(error, BoxmaskError):
                logger.exception("loading %s failed", place.folder)
            return held, Reload(place.bundle, place.version, Outcome.FAILED, str(error))

    def _exchange(self, bundle: str, after: list[Held]) -> None:
        names = [name for name, _ in self._sources]
        leaving = [held for held in self._held if held.bundle == bundle and held not in after]
        others = [held for held in self._held if held.bundle != bundle]
        self._held = sorted([*others, *after], key=lambda held: names.index(held.bundle))
        for held in leaving:
            task = asyncio.create_task(held.close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _opened(self, place: BundlePlace, bundle: Bundle) -> Held:
        engines = await asyncio.to_thread(self._load, bundle)
        await asyncio.to_thread(check_probes, bundle, engines.all())
        async with AsyncExitStack() as stack:
            pipelines = await stack.enter_async_context(self._open_up(engines))
            held = Held(place.bundle, place.version, bundle.class_names, engines, pipelines, _content(bundle))
            held._opened.push_async_callback(stack.pop_all().aclose)
        logger.info("%s version %s from %s is ready", place.bundle, place.version, place.folder)
        return held

    async def _close_all(self) -> None:
        for held in self._held:
            await held.close()
        self._held = []
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _find(self, bundle: str, version: str) -> Held:
        bundles = [held for held in self._held if held.bundle == (bundle or self._held[0].bundle)]
        if not bundles:
            names = dict.fromkeys(held.bundle for held in self._held)
            raise ModelNotFoundError(bundle, tuple(names), "bundle")
        for held in bundles:
            if version in ("", held.version):
                return held
        versions = tuple(held.version for held in bundles)
        raise ModelNotFoundError(version, versions, f"version of bundle {bundles[0].bundle!r}")


async def _loaded(place: BundlePlace) -> Bundle:
    return await asyncio.to_thread(Bundle.load, place.folder)


def _content(bundle: Bundle) -> str:
    return hashlib.sha256((bundle.root / MANIFEST).read_bytes()).hexdigest()
