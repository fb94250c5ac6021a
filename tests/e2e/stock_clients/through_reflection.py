"""Asks a server what it serves and calls it, as grpcurl does: ``through_reflection.py ADDRESS``.

None of our stubs is there. Prints what it was told as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message


def main(address: str) -> None:
    """Lists services, describes them, and calls some of their methods."""
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        services = {
            name: sorted(pool.FindServiceByName(name).methods_by_name) for name in database.get_services()
        }

        def call(method: MethodDescriptor, **fields: object) -> dict[str, Any]:
            request = GetMessageClass(method.input_type)(**fields)
            path = f"/{method.containing_service.full_name}/{method.name}"
            answer: grpc.UnaryUnaryMultiCallable[Message, Message] = channel.unary_unary(
                path,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            return MessageToDict(answer(request, timeout=30), preserving_proto_field_name=True)

        raw = pool.FindServiceByName("inference.GRPCInferenceService").methods_by_name
        labeling = pool.FindServiceByName("boxmask.v1.LabelingService").methods_by_name
        told = {
            "services": services,
            "live": call(raw["ServerLive"]),
            "metadata": call(raw["ModelMetadata"], name="cfs"),
            "config": call(raw["ModelConfig"], name="lgsa"),
            "models": call(labeling["ListModels"]),
        }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
