"""A log that cannot be written to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import grpc
import pytest

from tests.e2e.processes import BOXMASK, ENVIRONMENT
from tests.faults.neighbours import answered, neighbours
from tests.faults.servers import Server, serving
from tests.faults.test_batch_mates import POISON

FULL = Path("/dev/full")

pytestmark = pytest.mark.skipif(not FULL.is_char_device(), reason="needs /dev/full")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_on_a_full_disk_keeps_nobody_from_an_answer(
    touchy_bundle: Path, tmp_path: Path, form: str
) -> None:
    with serving(touchy_bundle, tmp_path, "--log-format", form, log=FULL) as server:
        with neighbours(server):
            pass
        before = server.held()
        with neighbours(server), server.stub() as stub:
            for _ in range(20):
                with pytest.raises(grpc.RpcError) as caught:
                    answered(stub, POISON)  # whose trace is logged
                assert caught.value.code() is grpc.StatusCode.INTERNAL
        server.assert_well(before)


def test_a_server_that_cannot_say_where_it_listens_serves_all_the_same(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    address = f"unix:{tmp_path}/socket"
    command: list[str | Path] = [BOXMASK, "serve", tiny_bundle, "--listen", address]
    log = tmp_path / "server.log"
    with (
        FULL.open("w") as out,
        log.open("w", encoding="utf-8") as err,
        subprocess.Popen(command, env=ENVIRONMENT, stdout=out, stderr=err, text=True) as process,
    ):
        try:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(30)
            with neighbours(Server(process, address, log)):
                pass
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
