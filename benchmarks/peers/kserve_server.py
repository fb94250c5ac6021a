"""KServe's Python server with a custom model. It has no batcher of its own for gRPC."""

# The peer is installed in an environment of its own, where mypy does not look.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

from typing import TYPE_CHECKING

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

from benchmarks.peers.network import Served, open_session, options_of_server

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxModel(Model):
    """One network."""

    def __init__(self, served: Served, session: InferenceSession) -> None:
        super().__init__(served.name)
        self._session = session
        self.ready = True

    def predict(
        self,
        payload: InferRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> InferResponse:
        """Answers one request."""
        del headers, response_headers
        feed = {each.name: each.as_numpy() for each in payload.inputs}
        names = [node.name for node in self._session.get_outputs()]
        outputs = []
        for name, values in zip(names, self._session.run(names, feed), strict=True):
            output = InferOutput(name, list(values.shape), "FP32")
            output.set_data_from_numpy(values)
            outputs.append(output)
        return InferResponse(payload.id, self.name, outputs)


def main() -> None:
    """Serves until it is told to stop."""
    options = options_of_server()
    server = ModelServer(http_port=options.port + 1, grpc_port=options.port, workers=1)
    server.start(
        [
            OnnxModel(served, open_session(served.file, options.threads, spinning=options.spinning))
            for served in options.served
        ]
    )


if __name__ == "__main__":
    main()
