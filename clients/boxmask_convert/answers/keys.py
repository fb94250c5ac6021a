"""What an answer depends on, as one key: alike for every run in which the same answer would be given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from boxmask_core.bundle import CFS, Bundle, starter_path

if TYPE_CHECKING:
    from boxmask_client import Question
    from boxmask_convert.settings import Settings

ANSWERS: Final = 1
"""Raised when boxmask would answer the same question otherwise, so that older answers are asked for anew."""
_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class AnswerKeys:
    """Keys of answers.

    A key is the digest of the image's bytes, the boxes and their classes, the method, its refinement, who
    computes GrabCut, and the network. It does not hold what an answer does not depend on: names of files,
    flags, the format that is written, or where the network runs.

    Attributes:
        method: How masks are made.
        refine: Whether GrabCut sharpens the network's masks.
        grabcut_engine: Who computes GrabCut.
        model_digest: ``sha256:`` digest of the network that is asked; empty where none is.
    """

    method: str
    refine: bool
    grabcut_engine: str
    model_digest: str

    def key(self, question: Question, model_digest: str | None = None) -> str:
        """Returns the key of a question's answer, 32 hexadecimal digits.

        Args:
            question: The question.
            model_digest: The network that answered, if it is another than was expected.
        """
        image = blake2b(question.encoded_image(), digest_size=_BYTES).hexdigest()
        boxes = [
            [each.box.x0, each.box.y0, each.box.x1, each.box.y1, each.class_name]
            for each in question.instances
        ]
        model = self.model_digest if model_digest is None else model_digest
        fields = [ANSWERS, self.method, self.refine, self.grabcut_engine, model, image, boxes]
        return blake2b(json.dumps(fields).encode(), digest_size=_BYTES).hexdigest()


def answer_keys(settings: Settings) -> AnswerKeys:
    """Returns the keys of a conversion.

    Raises:
        UnavailableError: No server answers there.
        NotFoundError: The server does not hold the network.
        BundleError: The bundle is missing or damaged, or does not hold the network.
    """
    digest = ""
    if settings.method == CFS and settings.server is not None:
        with settings.server.client() as client:
            digest = client.model(CFS).digest
    elif settings.method == CFS:
        digest = Bundle.load(settings.bundle or starter_path()).network(CFS).digest
    refine = settings.refine or settings.method != CFS
    return AnswerKeys(settings.method, refine, settings.grabcut_engine, digest)
