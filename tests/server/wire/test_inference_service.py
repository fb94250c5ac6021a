from __future__ import annotations

import asyncio
import json
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import grpc
import numpy as np
import onnxruntime as ort
import pytest

from boxmask.inference import model_config_pb2 as config_pb
from boxmask.inference import open_inference_pb2 as pb
from boxmask_server.networks.cfs_engine import CfsEngine
from boxmask_server.work.labeler import Limits
from boxmask_server.work.pipelines import Engines
from tests.server.details import field_of, reason_of, retry_seconds_of, status_of
from tests.server.wire.inference_requests import bare, cfs_arrays, infer_request, lgsa_arrays, values_of
from tests.server.wire.inference_serving import InferenceServing, inference_serving
from tests.tiny_networks import CLASS_NAMES, MAX_SIDE, SIZE, STEP, STRIDE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
    from typing import Any

    from boxmask_core.bundle import Bundle
    from boxmask_server.networks.segmentation_engine import SegmentationEngine
    from boxmask_server.networks.session import Inferred

CODE = grpc.StatusCode
ONNX_TYPES = {"tensor(uint8)": "UINT8", "tensor(float)": "FP32"}


@pytest.fixture
def tiny(engine: CfsEngine, segmentation: SegmentationEngine) -> dict[tuple[str, str], Engines]:
    return {("tiny", "1"): Engines(engine, segmentation)}


Tiny = dict[tuple[str, str], Engines]


def within(seconds: float, scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scene, seconds))


async def failed(call: grpc.aio.UnaryUnaryCall[Any, Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def stream_of(requests: Iterable[pb.ModelInferRequest]) -> AsyncIterator[pb.ModelInferRequest]:
    for request in requests:
        yield request


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("items", [1, 3])
def test_foreground_is_what_onnx_runtime_alone_computes(
    tiny: Tiny, bundle: Bundle, socket: str, items: int, raw: bool
) -> None:
    async def scene() -> None:
        arrays = cfs_arrays(items)
        async with inference_serving(tiny, socket) as here:
            response = await here.stub.ModelInfer(infer_request("cfs", arrays, raw=raw))
        assert [tensor.name for tensor in response.outputs] == ["foreground"]
        np.testing.assert_array_equal(values_of(response), bare(bundle, "cfs", arrays))

    within(30, scene())


@pytest.mark.parametrize(("items", "height", "width"), [(1, 32, 256), (3, 64, 96)])
def test_scores_are_what_onnx_runtime_alone_computes(
    tiny: Tiny, bundle: Bundle, socket: str, items: int, height: int, width: int
) -> None:
    async def scene() -> None:
        arrays = lgsa_arrays(items, height, width)
        async with inference_serving(tiny, socket) as here:
            response = await here.stub.ModelInfer(infer_request("lgsa", arrays, outputs=["scores"]))
        assert list(response.outputs[0].shape) == [items, 4, height // STRIDE, width // STRIDE]
        np.testing.assert_array_equal(values_of(response), bare(bundle, "lgsa", arrays))

    within(30, scene())


def test_requests_at_once_are_answered_each_by_its_own(tiny: Tiny, bundle: Bundle, socket: str) -> None:
    async def scene() -> None:
        questions = [cfs_arrays(1 + seed % 3, seed) for seed in range(12)]
        async with inference_serving(tiny, socket) as here:
            calls = [here.stub.ModelInfer(infer_request("cfs", arrays)) for arrays in questions]
            responses = await asyncio.gather(*calls)
        for arrays, response in zip(questions, responses, strict=True):
            np.testing.assert_array_equal(values_of(response), bare(bundle, "cfs", arrays))

    within(30, scene())


def test_the_request_s_id_its_model_s_name_and_the_version_come_back(tiny: Tiny, socket: str) -> None:
    async def scene() -> None:
        request = infer_request("tiny.cfs", cfs_arrays())
        request.id = "seven"
        async with inference_serving(tiny, socket) as here:
            response = await here.stub.ModelInfer(request)
        assert (response.id, response.model_name, response.model_version) == ("seven", "tiny.cfs", "1")

    within(30, scene())


@pytest.mark.parametrize(
    ("model", "spoil", "field"),
    [
        ("cfs", {"inputs": [pb.ModelInferRequest.InferInputTensor(name="x")]}, "inputs[0].name"),
        ("cfs", {}, "inputs"),
        ("lgsa", {"outputs": [pb.ModelInferRequest.InferRequestedOutputTensor(name="x")]}, "outputs[0].name"),
        ("cfs", {"parameters": {"priority": pb.InferParameter(int64_param=9)}}, "parameters['priority']"),
        ("cfs", {"parameters": {"timeout": pb.InferParameter(int64_param=-1)}}, "parameters['timeout']"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason_and_its_field(
    tiny: Tiny, socket: str, model: str, spoil: dict[str, Any], field: str
) -> None:
    async def scene() -> None:
        async with inference_serving(tiny, socket) as here:
            error = await failed(here.stub.ModelInfer(pb.ModelInferRequest(model_name=model, **spoil)))
            assert error.code() is CODE.INVALID_ARGUMENT
            assert reason_of(status_of(error)) == "INVALID_REQUEST"
            assert field_of(status_of(error)) == field
            assert str(error.details()).startswith(f"{field}: ")

    within(30, scene())


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("", ""),
        ("cfs", "2"),
        ("cfs", "x"),
        ("other.cfs", ""),
        ("tiny", ""),
        ("tiny.", ""),
        (".", ""),
        ("tiny.x", ""),
    ],
)
def test_a_model_that_is_not_held_is_not_found(tiny: Tiny, socket: str, name: str, version: str) -> None:
    async def scene() -> None:
        request = infer_request(name, cfs_arrays())
        request.model_version = version
        async with inference_serving(tiny, socket) as here:
            errors = [
                await failed(here.stub.ModelInfer(request)),
                await failed(here.stub.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version))),
                await failed(here.stub.ModelConfig(pb.ModelConfigRequest(name=name, version=version))),
            ]
            if name:
                asked = pb.ModelStatisticsRequest(name=name, version=version)
                errors.append(await failed(here.stub.ModelStatistics(asked)))
            for error in errors:
                assert error.code() is CODE.NOT_FOUND
                assert reason_of(status_of(error)) == "MODEL_NOT_FOUND"
            ready = await here.stub.ModelReady(pb.ModelReadyRequest(name=name, version=version))
            assert not ready.ready

    within(30, scene())


def test_a_network_that_its_bundle_lacks_is_not_found(engine: CfsEngine, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving({("boxes", "1"): Engines(engine, None)}, socket) as here:
            error = await failed(here.stub.ModelInfer(infer_request("lgsa", lgsa_arrays())))
            assert error.code() is CODE.NOT_FOUND
            assert "only: cfs" in str(error.details())
            assert not (await here.stub.ModelReady(pb.ModelReadyRequest(name="lgsa"))).ready

    within(30, scene())


@pytest.mark.parametrize("network", ["cfs", "lgsa"])
def test_metadata_names_the_tensors_as_the_onnx_file_does(
    tiny: Tiny, bundle: Bundle, socket: str, network: str
) -> None:
    async def scene() -> None:
        session = ort.InferenceSession(bundle.network(network).file, providers=["CPUExecutionProvider"])
        async with inference_serving(tiny, socket) as here:
            metadata = await here.stub.ModelMetadata(pb.ModelMetadataRequest(name=network))
            config = (await here.stub.ModelConfig(pb.ModelConfigRequest(name=network))).config
        assert (metadata.name, list(metadata.versions)) == (network, ["1"])
        assert metadata.platform == config.platform == "onnxruntime_onnx"
        expected = [
            (node.name, ONNX_TYPES[node.type], [-1 if isinstance(size, str) else size for size in node.shape])
            for node in (*session.get_inputs(), *session.get_outputs())
        ]
        tensors = (*metadata.inputs, *metadata.outputs)
        assert [(each.name, each.datatype, list(each.shape)) for each in tensors] == expected
        types = {config_pb.TYPE_UINT8: "UINT8", config_pb.TYPE_FP32: "FP32"}
        configured = [(each.name, types[each.data_type], [-1, *each.dims]) for each in config.input]
        configured += [(each.name, types[each.data_type], [-1, *each.dims]) for each in config.output]
        assert configured == expected

    within(30, scene())


def test_metadata_says_what_else_is_to_be_known(tiny: Tiny, bundle: Bundle, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving(tiny, socket) as here:
            cfs = (await here.stub.ModelMetadata(pb.ModelMetadataRequest(name="cfs"))).properties
            lgsa = (await here.stub.ModelMetadata(pb.ModelMetadataRequest(name="lgsa"))).properties
        assert json.loads(cfs["classes"]) == list(CLASS_NAMES)
        assert cfs["digest"] == bundle.network("cfs").digest
        assert (lgsa["step"], lgsa["max_side"], lgsa["output_stride"]) == (
            str(STEP),
            str(MAX_SIDE),
            str(STRIDE),
        )

    within(30, scene())


def test_the_configuration_says_how_many_items_go_and_that_they_are_batched(tiny: Tiny, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving(tiny, socket, limits=Limits(max_boxes=5)) as here:
            config = (await here.stub.ModelConfig(pb.ModelConfigRequest(name="cfs"))).config
            assert config.max_batch_size == 5
            assert config.HasField("dynamic_batching")
            assert config.instance_group[0].kind == config_pb.ModelInstanceGroup.KIND_CPU
            await here.stub.ModelInfer(infer_request("cfs", cfs_arrays(5)))
            error = await failed(here.stub.ModelInfer(infer_request("cfs", cfs_arrays(6))))
            assert field_of(status_of(error)) == "inputs[0].shape"

    within(30, scene())


def test_bundles_and_versions_are_reached_by_name(
    tiny: Tiny, segmentation: SegmentationEngine, socket: str
) -> None:
    both = tiny[("tiny", "1")]
    bundles = {
        ("v1.tiny", "12"): both,
        ("v1.tiny", "3"): Engines(both.cfs, None),
        ("pictures", "1"): Engines(None, segmentation),
    }

    async def scene() -> None:
        async with inference_serving(bundles, socket) as here:
            index = (await here.stub.RepositoryIndex(pb.RepositoryIndexRequest())).models
            assert [(model.name, model.version, model.state) for model in index] == [
                ("cfs", "12", "READY"),
                ("lgsa", "12", "READY"),
                ("cfs", "3", "READY"),
                ("pictures.lgsa", "1", "READY"),
            ]
            metadata = await here.stub.ModelMetadata(pb.ModelMetadataRequest(name="v1.tiny.cfs", version="3"))
            assert (metadata.name, list(metadata.versions)) == ("v1.tiny.cfs", ["12", "3"])
            for name, version, answers in (("cfs", "", "12"), ("cfs", "3", "3"), ("v1.tiny.cfs", "", "12")):
                request = infer_request(name, cfs_arrays())
                request.model_version = version
                assert (await here.stub.ModelInfer(request)).model_version == answers
            assert (
                await here.stub.ModelInfer(infer_request("pictures.lgsa", lgsa_arrays()))
            ).model_version == "1"
            assert (
                await failed(here.stub.ModelInfer(infer_request("pictures.cfs", cfs_arrays())))
            ).code() is CODE.NOT_FOUND

    within(30, scene())


def test_the_server_says_who_it_is_and_that_it_is_ready(tiny: Tiny, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving(tiny, socket) as here:
            metadata = await here.stub.ServerMetadata(pb.ServerMetadataRequest())
            assert (metadata.name, metadata.version) == ("boxmask", version("boxmask"))
            assert "statistics" in metadata.extensions
            assert (await here.stub.ServerLive(pb.ServerLiveRequest())).live
            assert (await here.stub.ServerReady(pb.ServerReadyRequest())).ready
            assert (await here.stub.ModelReady(pb.ModelReadyRequest(name="lgsa"))).ready

    within(30, scene())


def test_a_server_that_drains_is_live_and_not_ready_and_refuses(tiny: Tiny, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving(tiny, socket) as here:
            here.admission.close()
            assert (await here.stub.ServerLive(pb.ServerLiveRequest())).live
            assert not (await here.stub.ServerReady(pb.ServerReadyRequest())).ready
            assert not (await here.stub.ModelReady(pb.ModelReadyRequest(name="cfs"))).ready
            index = (await here.stub.RepositoryIndex(pb.RepositoryIndexRequest())).models
            assert {model.state for model in index} == {"UNAVAILABLE"}
            error = await failed(here.stub.ModelInfer(infer_request("cfs", cfs_arrays())))
            assert error.code() is CODE.UNAVAILABLE
            assert reason_of(status_of(error)) == "DRAINING"

    within(30, scene())


class GatedEngine(CfsEngine):
    """The real engine, which waits until it is let go and remembers what it ran."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, device="cpu", threads=1)
        self.open = False
        self.items = 0

    def infer(self, batch: Sequence[Any]) -> list[Inferred]:
        patience = time.monotonic() + 10
        while not self.open and time.monotonic() < patience:
            time.sleep(0.002)
        self.items += len(batch)
        return super().infer(batch)


@pytest.fixture
def gated(bundle: Bundle) -> GatedEngine:
    engine = GatedEngine(bundle)
    engine.open = True
    return engine


def test_a_deadline_is_kept_and_what_was_not_begun_never_runs(gated: GatedEngine, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving({("tiny", "1"): Engines(gated, None)}, socket) as here:
            gated.items, gated.open = 0, False
            error = await failed(here.stub.ModelInfer(infer_request("cfs", cfs_arrays(40)), timeout=0.2))
            assert error.code() is CODE.DEADLINE_EXCEEDED
            await _idle(here)
            gated.open = True
            await here.stub.ModelInfer(infer_request("cfs", cfs_arrays()))
            assert gated.items < 20

    within(30, scene())


def test_a_request_s_own_timeout_is_kept(gated: GatedEngine, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving({("tiny", "1"): Engines(gated, None)}, socket) as here:
            gated.open = False
            request = infer_request("cfs", cfs_arrays())
            request.parameters["timeout"].int64_param = 200_000
            error = await failed(here.stub.ModelInfer(request))
            gated.open = True
            assert error.code() is CODE.DEADLINE_EXCEEDED
            assert reason_of(status_of(error)) == "DEADLINE_EXCEEDED"
            (statistics,) = (await here.stub.ModelStatistics(pb.ModelStatisticsRequest())).model_stats
            assert statistics.inference_stats.fail.count == 1

    within(30, scene())


def test_a_call_that_is_cancelled_frees_its_work(gated: GatedEngine, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving({("tiny", "1"): Engines(gated, None)}, socket) as here:
            gated.items, gated.open = 0, False
            call = here.stub.ModelInfer(infer_request("cfs", cfs_arrays(60)))
            while not here.admission.unanswered:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            call.cancel()
            await _idle(here)
            gated.open = True
            await here.stub.ModelInfer(infer_request("cfs", cfs_arrays()))
            assert gated.items < 30
            (statistics,) = (await here.stub.ModelStatistics(pb.ModelStatisticsRequest())).model_stats
            assert (statistics.inference_stats.success.count, statistics.inference_stats.fail.count) == (1, 0)

    within(30, scene())


async def _idle(here: InferenceServing) -> None:
    while here.admission.unanswered:
        await asyncio.sleep(0.001)


def test_more_requests_than_the_queue_holds_are_refused_and_told_to_come_back(
    gated: GatedEngine, socket: str
) -> None:
    async def scene() -> None:
        async with inference_serving({("tiny", "1"): Engines(gated, None)}, socket, queue=2) as here:
            gated.open = False
            inside = [here.stub.ModelInfer(infer_request("cfs", cfs_arrays())) for _ in range(2)]
            while here.admission.unanswered < 2:
                await asyncio.sleep(0.001)
            error = await failed(here.stub.ModelInfer(infer_request("cfs", cfs_arrays())))
            assert error.code() is CODE.RESOURCE_EXHAUSTED
            assert reason_of(status_of(error)) == "QUEUE_FULL"
            assert retry_seconds_of(status_of(error)) == 1
            gated.open = True
            await asyncio.gather(*inside)

    within(30, scene())


def test_statistics_count_items_and_say_where_the_time_went(tiny: Tiny, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving(tiny, socket) as here:
            for items in (1, 3):
                await here.stub.ModelInfer(infer_request("cfs", cfs_arrays(items)))
            await failed(here.stub.ModelInfer(pb.ModelInferRequest(model_name="cfs")))
            cfs, lgsa = (await here.stub.ModelStatistics(pb.ModelStatisticsRequest())).model_stats
            asked = pb.ModelStatisticsRequest(name="tiny.cfs", version="1")
            (same,) = (await here.stub.ModelStatistics(asked)).model_stats
        assert (cfs.name, cfs.version, cfs.inference_count) == ("cfs", "1", 4)
        assert (same.name, same.inference_stats) == ("tiny.cfs", cfs.inference_stats)
        times = cfs.inference_stats
        assert (times.success.count, times.fail.count, times.queue.count) == (2, 1, 2)
        parts = (times.queue, times.compute_input, times.compute_infer, times.compute_output)
        assert all(part.count == 2 for part in parts)
        assert times.compute_infer.ns > 0
        assert cfs.last_inference > 1_700_000_000_000
        assert (lgsa.name, lgsa.inference_count, lgsa.inference_stats.success.count) == ("lgsa", 0, 0)

    within(30, scene())


def test_a_stream_answers_every_request_in_order_by_its_result_or_by_its_error(
    tiny: Tiny, bundle: Bundle, socket: str
) -> None:
    async def scene() -> None:
        questions: list[tuple[str, Any]] = []
        for seed in range(10):
            questions.append(("cfs", cfs_arrays(1 + seed % 3, seed)))
            questions.append(("lgsa", lgsa_arrays(1, 32, 32 * (1 + seed % 4), seed)))
        questions[7] = ("no such model", cfs_arrays())
        questions[12] = ("lgsa", {"image": np.zeros((1, 3, 3, 3), np.uint8)})
        requests = [infer_request(name, arrays) for name, arrays in questions]
        for index, request in enumerate(requests):
            request.id = str(index)
        async with inference_serving(tiny, socket, stream_window=4) as here:
            responses = [each async for each in here.stub.ModelStreamInfer(stream_of(requests))]
        assert [each.infer_response.id for each in responses] == [request.id for request in requests]
        for index, ((network, arrays), response) in enumerate(zip(questions, responses, strict=True)):
            if index == 7:
                assert "no network 'no such model'" in response.error_message
            elif index == 12:
                assert "inputs[0].shape" in response.error_message
            else:
                assert response.error_message == ""
                expected = bare(bundle, network, arrays)
                np.testing.assert_array_equal(values_of(response.infer_response), expected)
                assert response.infer_response.parameters["triton_final_response"].bool_param

    within(60, scene())


def test_a_stream_is_slowed_to_its_window_and_not_refused(gated: GatedEngine, socket: str) -> None:
    async def scene() -> None:
        bundles = {("tiny", "1"): Engines(gated, None)}
        async with inference_serving(bundles, socket, queue=2, stream_window=3) as here:
            gated.open = False
            call = here.stub.ModelStreamInfer(stream_of(infer_request("cfs", cfs_arrays()) for _ in range(9)))
            while here.admission.unanswered < 3:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.1)
            assert here.admission.unanswered == 3
            gated.open = True
            assert [each.error_message async for each in call] == [""] * 9

    within(30, scene())


def test_a_stream_that_is_cancelled_frees_its_work(gated: GatedEngine, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving({("tiny", "1"): Engines(gated, None)}, socket) as here:
            gated.items, gated.open = 0, False
            call = here.stub.ModelStreamInfer(
                stream_of(infer_request("cfs", cfs_arrays(9)) for _ in range(9))
            )
            while here.admission.unanswered < 9:
                await asyncio.sleep(0.001)
            call.cancel()
            await _idle(here)
            gated.open = True
            await here.stub.ModelInfer(infer_request("cfs", cfs_arrays()))
            assert gated.items < 40

    within(30, scene())


def test_a_stream_is_answered_to_the_end_of_what_was_read_when_the_server_drains(
    gated: GatedEngine, socket: str
) -> None:
    async def scene() -> None:
        async with inference_serving({("tiny", "1"): Engines(gated, None)}, socket, stream_window=2) as here:
            gated.open = False
            call = here.stub.ModelStreamInfer(stream_of(infer_request("cfs", cfs_arrays()) for _ in range(9)))
            while here.admission.unanswered < 2:
                await asyncio.sleep(0.001)
            here.admission.close()
            gated.open = True
            answers = [await call.read(), await call.read()]
            assert [isinstance(each, pb.ModelStreamInferResponse) for each in answers] == [True, True]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is CODE.UNAVAILABLE

    within(30, scene())


def test_the_outcome_of_each_request_is_counted(tiny: Tiny, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving(tiny, socket) as here:
            good, bad = infer_request("cfs", cfs_arrays()), pb.ModelInferRequest(model_name="cfs")
            await here.stub.ModelInfer(good)
            await failed(here.stub.ModelInfer(bad))
            assert len([each async for each in here.stub.ModelStreamInfer(stream_of([good, bad, good]))]) == 3
            counts = {
                (method, outcome): here.metrics.registry.get_sample_value(
                    "boxmask_requests_total", {"method": method, "outcome": outcome}
                )
                for method in ("ModelInfer", "ModelStreamInfer")
                for outcome in ("OK", "INVALID_REQUEST")
            }
        assert list(counts.values()) == [1, 1, 2, 1]

    within(30, scene())


def test_an_unknown_rpc_of_triton_s_is_unimplemented(tiny: Tiny, socket: str) -> None:
    async def scene() -> None:
        async with inference_serving(tiny, socket), grpc.aio.insecure_channel(socket) as channel:
            load: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/inference.GRPCInferenceService/RepositoryModelLoad"
            )
            assert (await failed(load(b""))).code() is CODE.UNIMPLEMENTED

    within(30, scene())


def test_the_largest_item_that_a_limit_allows_goes_through(tiny: Tiny, bundle: Bundle, socket: str) -> None:
    async def scene() -> None:
        arrays = lgsa_arrays(1, MAX_SIDE, MAX_SIDE)
        async with inference_serving(tiny, socket, limits=Limits(max_pixels=MAX_SIDE * MAX_SIDE)) as here:
            response = await here.stub.ModelInfer(infer_request("lgsa", arrays))
            np.testing.assert_array_equal(values_of(response), bare(bundle, "lgsa", arrays))
            error = await failed(
                here.stub.ModelInfer(infer_request("lgsa", lgsa_arrays(2, MAX_SIDE, MAX_SIDE)))
            )
            assert field_of(status_of(error)) == "inputs[0].shape"

    within(30, scene())


def test_a_mask_of_any_values_is_seen_as_0_and_1(tiny: Tiny, socket: str) -> None:
    async def scene() -> None:
        arrays = cfs_arrays()
        painted = arrays | {"box_mask": arrays["box_mask"] * np.uint8(255)}
        assert painted["box_mask"].shape == (1, SIZE, SIZE)
        async with inference_serving(tiny, socket) as here:
            plain = await here.stub.ModelInfer(infer_request("cfs", arrays))
            same = await here.stub.ModelInfer(infer_request("cfs", painted))
        np.testing.assert_array_equal(values_of(plain), values_of(same))

    within(30, scene())
