"""PyTriton: Triton's own front end and dynamic batcher, with the network in a Python function."""

# The peer is installed in an environment of its own, where mypy does not look.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.network import DTYPES, Served, open_session, options_of_server

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession


def bind(triton: Triton, served: Served, session: InferenceSession, delay: float) -> None:
    """Binds one network.

    Args:
        triton: Where.
        served: The network.
        session: The network, opened.
        delay: Seconds that a request waits for others.
    """
    names = [node.name for node in session.get_outputs()]

    @batch
    def infer(**feed: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
        return dict(zip(names, session.run(names, feed), strict=True))

    triton.bind(
        model_name=served.name,
        infer_func=infer,
        inputs=[_tensor(node) for node in session.get_inputs()],
        outputs=[_tensor(node) for node in session.get_outputs()],
        config=ModelConfig(
            max_batch_size=served.batch,
            batcher=DynamicBatcher(max_queue_delay_microseconds=round(1e6 * delay)),
        ),
        strict=True,
    )


def main() -> None:
    """Serves until it is told to stop."""
    options = options_of_server()
    config = TritonConfig(
        grpc_address="127.0.0.1",
        grpc_port=options.port,
        http_address="127.0.0.1",
        http_port=options.port + 1,
        metrics_port=options.port + 2,
    )
    with Triton(config=config) as triton:
        for served in options.served:
            session = open_session(served.file, options.threads, spinning=options.spinning)
            bind(triton, served, session, options.delay)
        triton.serve()


def _tensor(node: Any) -> Tensor:
    """Describes an input or an output: its batch axis is Triton's own, and a size that may vary is -1."""
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape[1:])
    return Tensor(name=node.name, dtype=DTYPES[node.type], shape=shape)


if __name__ == "__main__":
    main()
