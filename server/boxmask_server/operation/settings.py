"""Everything that an operator can set: its name, its rule, its default.

The names are those of the flags (``max_bytes`` is ``--max-bytes``), of the environment
(``BOXMASK_MAX_BYTES``) and of the settings file. ``Settings(...)`` takes what it is given;
`settings_sources.load` looks in all three places.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ByteSize, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from boxmask_core.engines import CrfEngine, GrabCutEngine
from boxmask_server.networks.cores import available_cores

if TYPE_CHECKING:
    from pydantic_settings import PydanticBaseSettingsSource

PREFIX: Final = "BOXMASK_"
"""What names of settings begin with in the environment."""
MIB: Final = 1024 * 1024
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
VERSIONS: Final = re.compile(r"latest|all|[1-9][0-9]{0,17}")


class BundleSource(NamedTuple):
    """Where a bundle comes from.

    Attributes:
        name: What requests call it.
        folder: A bundle, or a folder of versions: ``1/``, ``2/``, ..., each a bundle.
    """

    name: str
    folder: Path

    @classmethod
    def parse(cls, text: str) -> BundleSource:
        """Reads ``[NAME=]DIR``; without a name, it is the folder's.

        Raises:
            ValueError: The name is none.
        """
        before, equals, after = text.partition("=")
        named = bool(equals) and "/" not in before
        folder = Path(after if named else text)
        name = before if named else folder.absolute().name
        if not NAME.fullmatch(name):
            raise ValueError(
                f"expected a name of letters, digits, '.', '_' and '-', at most 63, but got {name!r}; "
                "give it one: NAME=DIR"
            )
        if named and not after:
            raise ValueError(f"expected NAME=DIR, but got {text!r}")
        return cls(name, folder)

    def __str__(self) -> str:
        return f"{self.name}={self.folder}"


def _bundles(value: object) -> object:
    """Reads bundles: a list, or one string with commas between them."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, Sequence):
        return value
    return tuple(BundleSource.parse(each) if isinstance(each, str) else each for each in value)


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _share_of_cores(settings: dict[str, Any]) -> int:
    return max(1, available_cores() // int(settings["processes"]))


def _setting(group: str, description: str, *, metavar: str = "N", **rules: Any) -> Any:
    """Describes a setting.

    Args:
        group: The heading that it stands under in the help.
        description: What it means, with its unit.
        metavar: What stands for its value in the help.
        rules: The rules of its values, and its default, as pydantic has them.
    """
    return Field(description=description, json_schema_extra={"group": group, "metavar": metavar}, **rules)


MODELS: Final = "models"
DEVICE: Final = "networks and devices"
BATCHES: Final = "batches and queues"
LIMITS: Final = "limits of one request"
LISTENING: Final = "listening"
CALLERS: Final = "callers"
LIFE: Final = "health and stopping"
SIGHT: Final = "logs, metrics and traces"

Bytes = Annotated[ByteSize, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What the server is told, checked."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    bundles: Annotated[tuple[BundleSource, ...], NoDecode, BeforeValidator(_bundles)] = _setting(
        MODELS,
        "bundle folders, or folders that hold versions 1/, 2/, ... of a bundle; the first answers whoever "
        "asks for none by name; a name is the folder's unless one is given; without any, the bundle that "
        "boxmask ships",
        metavar="[NAME=]DIR",
        default=(),
    )
    versions: Annotated[str, BeforeValidator(_text)] = _setting(
        MODELS,
        "versions to hold, where a folder has them: latest, all, or one number",
        metavar="WHICH",
        default="latest",
    )

    device: Literal["auto", "cpu", "cuda"] = _setting(DEVICE, "where the networks run", default="auto")
    processes: int = _setting(
        DEVICE, "server processes that share one port, each with networks of its own", ge=1, default=1
    )
    threads: int = _setting(
        DEVICE, "threads of one segmentation run on the CPU", ge=1, default_factory=_share_of_cores
    )
    workers: int = _setting(
        DEVICE,
        "threads that decode, cut, encode and, on the CPU, run CFS",
        ge=1,
        default_factory=_share_of_cores,
    )
    grabcut_engine: GrabCutEngine = _setting(DEVICE, "who computes GrabCut", default="boxmask")
    crf_engine: CrfEngine = _setting(DEVICE, "who computes the DenseCRF", default="boxmask")
    gpu_mem_limit: Bytes | None = _setting(
        DEVICE, "bytes of GPU memory that one network may take, such as 4GiB", metavar="BYTES", default=None
    )
    cuda_graph: bool = _setting(
        DEVICE, "replay the GPU's work as one CUDA graph per input size", default=False
    )
    io_binding: bool = _setting(DEVICE, "keep the networks' inputs and outputs on the GPU", default=False)
    tensorrt: bool = _setting(DEVICE, "run the networks by TensorRT", default=False)
    tensorrt_cache: Path | None = _setting(
        DEVICE, "where TensorRT keeps what it has built", metavar="DIR", default=None
    )

    max_batch: Annotated[int, Field(ge=1)] | None = _setting(
        BATCHES, "boxes that CFS is given at once; without it, what suits the device", default=None
    )
    max_batch_pixels: int = _setting(
        BATCHES,
        "pixels that the segmentation network is given at once, padding included",
        ge=1,
        default=4 * 768 * 768,
    )
    queue: int = _setting(BATCHES, "requests inside; more are refused", ge=1, default=256)
    queue_bytes: Bytes = _setting(
        BATCHES,
        "bytes of encoded images inside; more are refused",
        metavar="BYTES",
        default=ByteSize(512 * MIB),
    )
    open_pixels: int = _setting(BATCHES, "decoded pixels held at once; more wait", ge=1, default=256_000_000)

    max_bytes: Bytes = _setting(
        LIMITS, "bytes of one encoded image", metavar="BYTES", default=ByteSize(64 * MIB)
    )
    max_pixels: int = _setting(LIMITS, "pixels of one image", ge=1, default=64_000_000)
    max_boxes: int = _setting(LIMITS, "boxes of one image", ge=1, default=1000)
    stream_window: int = _setting(LIMITS, "unanswered items of one stream", ge=1, default=16)
    concurrent_calls: int = _setting(
        LIMITS, "calls at once, of all callers; more are refused", ge=1, default=2048
    )

    listen: str = _setting(LISTENING, "HOST:PORT or unix:PATH", metavar="ADDR", default="127.0.0.1:8500")
    tls_cert: Path | None = _setting(
        LISTENING, "PEM certificate chain; needs --tls-key", metavar="FILE", default=None
    )
    tls_key: Path | None = _setting(
        LISTENING, "PEM private key; needs --tls-cert", metavar="FILE", default=None
    )
    tls_client_ca: Path | None = _setting(
        LISTENING,
        "PEM certificates whose clients alone may connect (mutual TLS)",
        metavar="FILE",
        default=None,
    )
    connection_age: Seconds | None = _setting(
        LISTENING,
        "seconds after which a connection is asked to come anew, so that callers find new servers; calls are "
        "not cut off",
        metavar="SECONDS",
        gt=0,
        default=None,
    )

    tokens: Path | None = _setting(
        CALLERS,
        "bearer tokens, one a line: NAME SECRET [admin] [calls=N] [rate=N]",
        metavar="FILE",
        default=None,
    )
    admin: bool = _setting(
        CALLERS, "serve boxmask.v1.AdminService; with tokens, to those marked admin", default=False
    )

    grace: Seconds = _setting(LIFE, "seconds that a drain may take", metavar="SECONDS", default=30.0)
    stall_seconds: Seconds = _setting(
        LIFE,
        "seconds that one batch, or a step on the CPU, may take before health says NOT_SERVING, so that the "
        "server is started anew; the warm-up of a bundle that is exchanged is such a step",
        metavar="SECONDS",
        gt=0,
        default=120.0,
    )

    log_format: Literal["text", "json"] = _setting(
        SIGHT, "lines of logs, for people or for programs", default="text"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        SIGHT, "least urgent lines to log", default="info"
    )
    metrics: str | None = _setting(
        SIGHT,
        "where Prometheus metrics are served; without it, nowhere",
        metavar="HOST:PORT",
        default=None,
    )
    otlp_endpoint: str | None = _setting(
        SIGHT,
        "where OpenTelemetry traces are sent by gRPC, such as http://collector:4317 (extra otel)",
        metavar="URL",
        default=None,
    )
    trace_ratio: float = _setting(
        SIGHT,
        "share of calls that are traced, 0 to 1, where the caller has not decided",
        ge=0,
        le=1,
        default=1.0,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Takes what the constructor is given; `settings_sources.load` asks the other sources itself."""
        return (init_settings,)

    @field_validator("versions")
    @classmethod
    def _known_versions(cls, value: str) -> str:
        if not VERSIONS.fullmatch(value):
            raise ValueError(f"expected 'latest', 'all' or a number from 1 up, but got {value!r}")
        return value

    @field_validator("bundles")
    @classmethod
    def _names_once(cls, value: tuple[BundleSource, ...]) -> tuple[BundleSource, ...]:
        names = [bundle.name for bundle in value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"expected each name once, but got {twice!r} twice; name one of them: NAME=DIR")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = urlsplit(value)
        if "@" in url.netloc:
            raise ValueError("expected no password in it; put it into OTEL_EXPORTER_OTLP_HEADERS")
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError(f"expected http://HOST:PORT or https://HOST:PORT, but got {value!r}")
        return value

    @model_validator(mode="after")
    def _what_goes_together(self) -> Self:
        if self.processes > 1 and self.listen.startswith("unix:"):
            raise ValueError("--processes cannot share a Unix socket; use --listen HOST:PORT, or one process")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key go together")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("--tls-client-ca needs --tls-cert and --tls-key")
        if self.tensorrt_cache is not None and not self.tensorrt:
            raise ValueError("--tensorrt-cache needs --tensorrt")
        return self
