"""The client against a real server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from boxmask_client import (
    Answer,
    Client,
    DeadlineExceededError,
    NotFoundError,
    Question,
    RejectedError,
    UnavailableError,
)
from boxmask_core.boxes import Box
from boxmask_core.bundle import AnySize, FixedSize
from boxmask_core.errors import InvalidImageError
from boxmask_core.instances import Instance
from tests.clients.both_stacks import loop_client
from tests.clients.running_server import running_server
from tests.clients.scenes import CAT, EAR, cat, png
from tests.tiny_networks import CLASS_NAMES, MAX_SIDE, SIZE, STEP, STRIDE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from boxmask_core.bundle import Bundle


@pytest.fixture(params=[Client, loop_client], ids=["threads", "loop"])
def client(request: pytest.FixtureRequest, server: str) -> Iterator[Client]:
    """Each of the two clients."""
    with request.param(server) as client:
        yield client


def _same(first: Answer, second: Answer) -> bool:
    assert first.label_map is not None
    assert second.label_map is not None
    pairs = zip(first.masks, second.masks, strict=True)
    return bool((first.label_map == second.label_map).all()) and all(
        a.instance == b.instance
        and a.quality == b.quality
        and a.proposal.window == b.proposal.window
        and bool((a.proposal.mask == b.proposal.mask).all())
        for a, b in pairs
    )


def test_every_box_gets_a_mask_in_the_order_of_the_question(client: Client) -> None:
    answer = client.pseudo_label(png(cat()), [EAR, CAT])
    assert (answer.width, answer.height) == (225, 150)
    assert [mask.instance for mask in answer.masks] == [EAR, CAT]
    assert [mask.proposal.window for mask in answer.masks] == [EAR.box.window(), CAT.box.window()]
    assert all(mask.proposal.mask.any() and 0 <= mask.quality <= 1 for mask in answer.masks)
    assert answer.model_digest.startswith("sha256:")
    assert answer.timings.total_ms > 0
    assert 0 <= answer.timings.queue_ms <= answer.timings.total_ms
    assert (answer.bundle, answer.version) == ("tiny", "1")


def test_label_map_counts_the_networks_classes_first_and_shows_the_smaller_box_on_top(client: Client) -> None:
    answer = client.pseudo_label(png(cat()), [CAT, EAR], method="box")
    assert answer.class_names == (*CLASS_NAMES, "ear")
    expected = np.zeros((150, 225), dtype=np.uint8)
    expected[CAT.box.window().slices()] = 1
    expected[EAR.box.window().slices()] = 4
    assert answer.label_map is not None
    np.testing.assert_array_equal(answer.label_map, expected)


def test_label_map_follows_the_callers_class_names_and_can_be_left_out(client: Client) -> None:
    answer = client.pseudo_label(png(cat()), [EAR], method="box", class_names=["ear", "cat"])
    assert answer.label_map is not None
    assert answer.label_map.max() == 1
    assert client.pseudo_label(png(cat()), [EAR], label_map=False).label_map is None


def test_bytes_a_path_and_an_array_give_the_same_answer(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(png(cat()))
    answers = [client.pseudo_label(image, [CAT]) for image in (png(cat()), path, cat())]
    assert all(_same(answers[0], answer) for answer in answers[1:])


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 4), (0, 30, 3)])
def test_an_array_that_is_no_rgb_image_is_refused_before_it_is_sent(
    client: Client, shape: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidImageError, match=r"expected a uint8 array of shape \(H, W, 3\)"):
        client.pseudo_label(np.zeros(shape, dtype=np.uint8), [CAT])


def test_an_image_without_boxes_gives_an_empty_label_map(client: Client) -> None:
    answer = client.pseudo_label(png(cat()), [])
    assert answer.masks == ()
    assert answer.label_map is not None
    assert not answer.label_map.any()


def test_no_refinement_changes_the_answer(client: Client) -> None:
    refined, plain = (client.pseudo_label(png(cat()), [CAT], refine=refine) for refine in (True, False))
    assert not _same(refined, plain)


@pytest.mark.parametrize(
    ("image", "instance", "reason"),
    [
        (b"no image", CAT, "INVALID_IMAGE"),
        (b"", CAT, "INVALID_IMAGE"),
        (png(cat())[:500], CAT, "INVALID_IMAGE"),
        (png(cat()), Instance(Box(300, 300, 310, 310), "cat", id="far"), "INVALID_BOX"),
    ],
)
def test_a_bad_question_is_rejected_with_the_servers_reason(
    client: Client, image: bytes, instance: Instance, reason: str
) -> None:
    with pytest.raises(RejectedError) as caught:
        client.pseudo_label(image, [instance])
    assert caught.value.reason == reason
    assert caught.value.code == "INVALID_ARGUMENT"
    assert caught.value.violations


def test_models_say_what_the_server_holds(client: Client, bundle: Bundle) -> None:
    model, segmentation = client.models()
    assert model == client.model("cfs") == client.model("cfs", bundle="tiny", version="1")
    assert (model.bundle, model.version) == ("tiny", "1")
    assert model.limits.max_message_bytes > model.limits.max_bytes
    assert segmentation == client.model("lgsa")
    assert (segmentation.input, segmentation.output_stride) == (AnySize(STEP, MAX_SIDE), STRIDE)
    assert model.class_names == bundle.class_names
    assert model.digest == bundle.network("cfs").digest
    assert model.input == FixedSize(SIZE)
    assert model.limits.max_boxes > 0


def test_an_unknown_model_is_not_found(client: Client) -> None:
    with pytest.raises(NotFoundError, match="there is no network 'sam', only: cfs, lgsa"):
        client.model("sam")
    with pytest.raises(NotFoundError):
        client.model("cfs", bundle="other")
    with pytest.raises(NotFoundError):
        client.pseudo_label(png(cat()), [CAT], version="7")


def test_a_deadline_that_passes_is_an_error_of_its_own(client: Client) -> None:
    with pytest.raises(DeadlineExceededError):
        client.pseudo_label(png(cat()), [CAT] * 50, method="grabcut", timeout=0.02)


def test_no_server_is_unavailable(tmp_path: Path) -> None:
    with Client(f"unix:{tmp_path}/nothing") as client, pytest.raises(UnavailableError):
        client.models()


def test_waiting_finds_a_server_that_comes_later(bundle: Bundle, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/socket"
    found = threading.Event()

    def wait() -> None:
        with Client(address) as client:
            client.wait_until_ready(20)
            found.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    with running_server(bundle, address):
        waiter.join()
    assert found.is_set()


def test_waiting_ends_at_its_timeout(tmp_path: Path) -> None:
    with Client(f"unix:{tmp_path}/nothing") as client, pytest.raises(DeadlineExceededError):
        client.wait_until_ready(0.1)


def test_a_stream_answers_every_question_by_its_result_or_its_error(client: Client) -> None:
    good, bad = Question(png(cat()), [CAT]), Question(b"no image", [CAT])
    outcomes = dict(client.stream_pseudo_label([("a", good), ("b", bad), ("c", good)], window=2))
    assert outcomes.keys() == {"a", "b", "c"}
    assert isinstance(outcomes["b"], RejectedError)
    assert isinstance(outcomes["a"], Answer)
    assert isinstance(outcomes["c"], Answer)
    assert _same(outcomes["a"], outcomes["c"])
    assert _same(outcomes["a"], client.pseudo_label(png(cat()), [CAT]))


def test_keys_of_a_stream_may_be_anything_and_repeat(client: Client) -> None:
    key = ["not", "hashable"]
    question = Question(png(cat()), [CAT], method="box")
    assert [key for key, _ in client.stream_pseudo_label([(key, question)] * 3)] == [key] * 3


def test_a_stream_closed_early_leaves_the_connection_usable(client: Client) -> None:
    question = Question(png(cat()), [CAT], method="box")
    answers = client.stream_pseudo_label(((i, question) for i in range(1000)), window=2)
    next(answers)
    answers.close()
    assert client.models()


def test_a_window_below_one_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="window of at least 1, but got 0"):
        client.stream_pseudo_label([], window=0)


def test_a_tls_channel_is_not_opened_in_plain_text(server: str) -> None:
    with (
        Client(server, credentials=grpc.ssl_channel_credentials()) as client,
        pytest.raises(UnavailableError),
    ):
        client.models()
