"""The names of the Open Inference Protocol: which network of which bundle a model is."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from boxmask_core.bundle import CFS, LGSA
from boxmask_core.errors import ModelNotFoundError
from boxmask_server.wire.inference_statistics import ModelKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from boxmask_server.networks.cfs_engine import CfsEngine
    from boxmask_server.networks.segmentation_engine import SegmentationEngine
    from boxmask_server.work.model_store import Held, ModelStore


@dataclass(frozen=True, slots=True)
class Model:
    """One network of one version of a bundle.

    Attributes:
        name: What the caller calls it.
        held: The version that it belongs to.
        engine: What runs it.
    """

    name: str
    held: Held
    engine: CfsEngine | SegmentationEngine

    @property
    def key(self) -> ModelKey:
        """What its statistics are kept under."""
        return ModelKey(self.held.bundle, self.held.version, self.engine.network.name)

    @property
    def family(self) -> tuple[str, str]:
        """What all its versions have in common: the bundle and the network."""
        return self.held.bundle, self.engine.network.name


class Models:
    """The models of a store.

    Args:
        store: Where bundles are held.
    """

    def __init__(self, store: ModelStore) -> None:
        self._store = store

    @contextlib.asynccontextmanager
    async def use(self, name: str, version: str) -> AsyncIterator[Model]:
        """Keeps a model while the block runs.

        Args:
            name: ``cfs`` or ``lgsa`` of the first bundle, or ``BUNDLE.NETWORK``.
            version: The bundle's version; empty means the latest.

        Raises:
            ModelNotFoundError: There is none.
        """
        bundle, _, network = name.rpartition(".")
        if network not in {CFS, LGSA}:
            raise self._not_found(name)
        async with self._store.use(bundle, version) as held:
            engine = _engine(held, network)
            if engine is None:
                raise self._not_found(name)
            yield Model(name, held, engine)

    def all(self) -> list[Model]:
        """Returns every version of every model, under its shortest name."""
        held = self._store.held()
        return [
            Model(_name(engine.network.name, each, held[0]), each, engine)
            for each in held
            for engine in each.engines.all()
        ]

    def versions(self, model: Model) -> list[str]:
        """Returns all versions of a model, the latest first."""
        return [other.held.version for other in self.all() if other.family == model.family]

    def _not_found(self, name: str) -> ModelNotFoundError:
        return ModelNotFoundError(name, tuple(dict.fromkeys(model.name for model in self.all())))


def _engine(held: Held, network: str) -> CfsEngine | SegmentationEngine | None:
    return held.engines.cfs if network == CFS else held.engines.lgsa


def _name(network: str, held: Held, first: Held) -> str:
    return network if held.bundle == first.bundle else f"{held.bundle}.{network}"
