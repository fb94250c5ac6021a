"""MLServer's custom runtime: it is started by ``mlserver start FOLDER``, whose settings name this class."""

# The peer is installed in an environment of its own, where mypy does not look.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.network import open_session


class OnnxModel(MLModel):
    """One network, whose file is the model's ``uri``."""

    async def load(self) -> bool:
        """Opens the network."""
        parameters = self.settings.parameters
        self._session = open_session(parameters.uri, parameters.threads, spinning=parameters.spinning)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answers a request, or several that the adaptive batcher has joined."""
        feed = {each.name: self.decode(each, default_codec=NumpyCodec) for each in payload.inputs}
        names = [node.name for node in self._session.get_outputs()]
        found = zip(names, self._session.run(names, feed), strict=True)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output(name, values) for name, values in found]
        )
