from __future__ import annotations

import asyncio
import json
import shutil
from functools import partial
from typing import TYPE_CHECKING

import grpc
import pytest

from boxmask.v1 import admin_pb2 as pb
from boxmask.v1 import admin_pb2_grpc as pb_grpc
from boxmask.v1 import labeling_pb2, labeling_pb2_grpc
from boxmask_core.bundle import MANIFEST
from boxmask_server.server import Server, Settings
from boxmask_server.work.host_pool import HostPool
from boxmask_server.work.model_store import ModelStore
from boxmask_server.work.pipelines import open_engines, open_pipelines
from tests.bundles import write_tiny_bundle
from tests.server.pictures import CAT, png
from tests.server.serving import request_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

LOADED, UNCHANGED = pb.RELOAD_OUTCOME_LOADED, pb.RELOAD_OUTCOME_UNCHANGED
FAILED, REMOVED = pb.RELOAD_OUTCOME_FAILED, pb.RELOAD_OUTCOME_REMOVED


def test_an_operator_exchanges_a_version_and_is_told_what_became_of_it(tmp_path: Path, socket: str) -> None:
    folder = tmp_path / "animals"
    write_tiny_bundle(folder / "1")

    async def scene(channel: grpc.aio.Channel) -> None:
        admin = pb_grpc.AdminServiceStub(channel)
        labeling = labeling_pb2_grpc.LabelingServiceStub(channel)
        (reload,) = (await admin.ReloadModels(pb.ReloadModelsRequest())).reloads
        assert (reload.bundle, reload.version, reload.outcome) == ("animals", "1", UNCHANGED)
        assert (await labeling.PseudoLabel(request_of(png("cat"), CAT))).version == "1"

        _write(folder / "2")
        reloads = (await admin.ReloadModels(pb.ReloadModelsRequest())).reloads
        assert [(each.version, each.outcome) for each in reloads] == [("2", LOADED), ("1", REMOVED)]
        response = await labeling.PseudoLabel(request_of(png("cat"), CAT))
        assert (response.bundle, response.version) == ("animals", "2")
        models = (await labeling.ListModels(labeling_pb2.ListModelsRequest())).models
        assert [(model.bundle, model.version, model.name) for model in models] == [
            ("animals", "2", "cfs"),
            ("animals", "2", "lgsa"),
        ]

        _write(folder / "3")
        (folder / "3" / "lgsa.onnx").write_bytes(b"")
        (reload,) = (await admin.ReloadModels(pb.ReloadModelsRequest())).reloads
        assert (reload.version, reload.outcome) == ("3", FAILED)
        assert "lgsa.onnx is damaged" in reload.problem
        assert (await labeling.PseudoLabel(request_of(png("cat"), CAT))).version == "2"
        shutil.rmtree(folder / "3")

    _with(folder, Settings(socket, admin=True), scene)


def test_nobody_is_an_operator_unless_the_server_was_told_so(tmp_path: Path, socket: str) -> None:
    write_tiny_bundle(tmp_path / "tiny")

    async def scene(channel: grpc.aio.Channel) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pb_grpc.AdminServiceStub(channel).ReloadModels(pb.ReloadModelsRequest())
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    _with(tmp_path / "tiny", Settings(socket), scene)


def test_a_version_can_be_asked_for_and_one_that_is_not_there_is_not_found(
    tmp_path: Path, socket: str
) -> None:
    folder = tmp_path / "animals"
    write_tiny_bundle(folder / "1")
    _write(folder / "2")

    async def scene(channel: grpc.aio.Channel) -> None:
        labeling = labeling_pb2_grpc.LabelingServiceStub(channel)
        for version in ("1", "2"):
            request = request_of(png("cat"), CAT)
            request.version = version
            assert (await labeling.PseudoLabel(request)).version == version
            got = await labeling.GetModel(labeling_pb2.GetModelRequest(name="cfs", version=version))
            assert (got.model.bundle, got.model.version) == ("animals", version)
        request.version = "7"
        with pytest.raises(grpc.aio.AioRpcError, match="only: 2, 1") as caught:
            await labeling.PseudoLabel(request)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.aio.AioRpcError, match="no bundle 'plants'") as caught:
            await labeling.Segment(labeling_pb2.SegmentRequest(image=png("cat"), bundle="plants"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    _with(folder, Settings(socket), scene, versions="all")


def _with(
    folder: Path,
    settings: Settings,
    scene: Callable[[grpc.aio.Channel], Awaitable[None]],
    *,
    versions: str = "latest",
) -> None:
    async def main() -> None:
        async with HostPool(1) as pool:
            store = ModelStore(
                [("animals", folder)],
                partial(open_engines, device="cpu", threads=1),
                lambda engines: open_pipelines(engines, pool),
                versions=versions,
            )
            async with store:
                server = Server(store, settings)
                address = await server.start()
                async with grpc.aio.insecure_channel(address) as channel:
                    await asyncio.wait_for(scene(channel), 60)
                await server.drain(5)

    asyncio.run(main())


def _write(folder: Path) -> None:
    """Writes a bundle that differs from the plain one."""
    write_tiny_bundle(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    for network in manifest["networks"].values():
        network["training_data"] = folder.name
    (folder / MANIFEST).write_text(json.dumps(manifest))
