"""The model bundle: a folder with ``bundle.json``, and one ``.onnx`` and one ``.probe.npz`` per network.

``bundle.json`` says all that a server must know; normalisation lives inside the graphs, whose input is
``uint8`` NHWC RGB, so a wrong mean or standard deviation cannot be configured.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxmask_core.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
MANIFEST = "bundle.json"
CFS = "cfs"
"""Name of the constrained foreground network in a bundle."""
CFS_TASK = "constrained-foreground-segmentation"
LGSA = "lgsa"
"""Name of the segmentation network in a bundle."""
SEGMENTATION_TASK = "semantic-segmentation"
INPUT_LAYOUT = "uint8 NHWC RGB"


@dataclass(frozen=True, slots=True)
class FixedSize:
    """A network that takes one square size.

    Attributes:
        side: Its side, pixels.
    """

    side: int

    def to_json(self) -> dict[str, Any]:
        """Returns the size's part of ``bundle.json``."""
        return {"size_buckets": [[self.side, self.side]]}


@dataclass(frozen=True, slots=True)
class AnySize:
    """A network that takes any size whose sides are multiples of a step.

    Attributes:
        step: What both sides must be multiples of, pixels.
        max_side: Longest side that it is given, pixels, a multiple of the step; larger images are resized.
    """

    step: int
    max_side: int

    def to_json(self) -> dict[str, Any]:
        """Returns the size's part of ``bundle.json``."""
        return {"size_step": self.step, "max_side": self.max_side}


InputSize = FixedSize | AnySize


@dataclass(frozen=True, slots=True)
class Network:
    """One network of a bundle.

    Attributes:
        name: Its name in the bundle, for example ``cfs``.
        task: What it does, for example ``constrained-foreground-segmentation``.
        file: Its ONNX file.
        digest: ``sha256:`` and the hex digest of the file.
        input: The sizes that it takes.
        output_stride: Input pixels per output pixel and axis.
        opset: ONNX opset of the graph.
        weights: Precision that the weights are stored in, ``float32`` or ``float16``.
        source_checkpoint: ``sha256:`` digest of the checkpoint that it was exported from.
        parity_error: Largest absolute difference of a probability between ONNX Runtime and PyTorch with the
            same weights, as the export measured it.
        rounding_error: Largest absolute difference of a probability that storing the weights as float16
            makes, as the export measured it; 0 where they are stored as trained.
        license: SPDX licence of the weights.
        training_data: What it was trained on.
        probe: Its probe (see `boxmask_core.probes`); None where it was exported without one.
    """

    name: str
    task: str
    file: Path
    digest: str
    input: InputSize
    output_stride: int
    opset: int
    weights: str
    source_checkpoint: str
    parity_error: float
    rounding_error: float
    license: str
    training_data: str
    probe: Path | None = None

    def fixed_side(self) -> int:
        """Returns the side of its square input, pixels.

        Raises:
            BundleError: It takes images of any size.
        """
        if not isinstance(self.input, FixedSize):
            raise BundleError(self.file.parent, f"network {self.name!r} takes no fixed size; export it again")
        return self.input.side

    def any_size(self) -> AnySize:
        """Returns the rule for the sizes that it takes.

        Raises:
            BundleError: It takes one size only.
        """
        if not isinstance(self.input, AnySize):
            raise BundleError(self.file.parent, f"network {self.name!r} takes one size only; export it again")
        return self.input

    def to_json(self) -> dict[str, Any]:
        """Returns the network's entry in ``bundle.json``."""
        entry: dict[str, Any] = {
            "task": self.task,
            "file": self.file.name,
            "sha256": self.digest.removeprefix("sha256:"),
            "input": {"layout": INPUT_LAYOUT} | self.input.to_json(),
            "output_stride": self.output_stride,
            "opset": self.opset,
            "weights": self.weights,
            "source_checkpoint": self.source_checkpoint,
            "parity_error": self.parity_error,
            "rounding_error": self.rounding_error,
            "license": self.license,
            "training_data": self.training_data,
        }
        if self.probe is not None:
            entry["probe"] = {
                "file": self.probe.name,
                "sha256": file_digest(self.probe).removeprefix("sha256:"),
            }
        return entry


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files were found and whose digests were checked.

    Attributes:
        root: Its folder.
        class_names: The networks' classes; the first has index 1 in label maps.
        palette: RGB of background and of each class, 0 to 255.
        networks: Its networks by name.
    """

    root: Path
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    networks: Mapping[str, Network]

    @staticmethod
    def load(root: Path) -> Bundle:
        """Reads and checks a bundle.

        Args:
            root: The bundle's folder.

        Raises:
            BundleError: The folder, the manifest or a network is missing, damaged or of another schema.
        """
        manifest = root / MANIFEST
        if not manifest.is_file():
            raise BundleError(
                root, f"there is no {MANIFEST}; make one with: boxmask export CHECKPOINT {root}"
            )
        try:
            fields = json.loads(manifest.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BundleError(root, f"{MANIFEST} is not valid JSON ({error}); export it again") from error
        if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
            found = fields.get("schema") if isinstance(fields, dict) else type(fields).__name__
            raise BundleError(root, f"expected schema {SCHEMA}, but got {found!r}; export it again")
        try:
            class_names = tuple(str(name) for name in fields["class_names"])
            palette = tuple((int(r), int(g), int(b)) for r, g, b in fields["palette"])
            networks = {name: _network(root, name, entry) for name, entry in fields["networks"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                root, f"{MANIFEST} lacks or breaks the field {error}; export it again"
            ) from error
        return Bundle(root, class_names, palette, networks)

    def network(self, name: str) -> Network:
        """Returns one network.

        Raises:
            BundleError: The bundle does not hold it.
        """
        if name not in self.networks:
            held = ", ".join(sorted(self.networks)) or "none"
            raise BundleError(self.root, f"it holds no network {name!r} (networks: {held})")
        return self.networks[name]

    def to_json(self) -> dict[str, Any]:
        """Returns the content of ``bundle.json``."""
        return {
            "schema": SCHEMA,
            "class_names": list(self.class_names),
            "palette": [list(colour) for colour in self.palette],
            "networks": {name: network.to_json() for name, network in self.networks.items()},
        }


def starter_path() -> Path:
    """Returns the folder of the bundle that boxmask ships, in a wheel or in a checkout.

    Raises:
        BundleError: This installation carries none.
    """
    package = Path(__file__).resolve().parent
    candidates = (package / "starter", package.parents[1] / "models" / "starter")
    for folder in candidates:
        if (folder / MANIFEST).is_file():
            return folder
    raise BundleError("starter", "this installation does not carry it; pass --bundle DIR")


def file_digest(path: Path) -> str:
    """Returns ``sha256:`` and the hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _network(root: Path, name: str, entry: Mapping[str, Any]) -> Network:
    layout = entry["input"]["layout"]
    if layout != INPUT_LAYOUT:
        raise BundleError(root, f"network {name!r}: expected input {INPUT_LAYOUT!r}, but got {layout!r}")
    size = _any_size(root, name, entry) if "size_step" in entry["input"] else _fixed_size(root, name, entry)
    file = _whole_file(root, name, entry)
    return Network(
        name=name,
        task=str(entry["task"]),
        file=file,
        digest=f"sha256:{entry['sha256']}",
        input=size,
        output_stride=int(entry["output_stride"]),
        opset=int(entry["opset"]),
        weights=str(entry["weights"]),
        source_checkpoint=str(entry["source_checkpoint"]),
        parity_error=float(entry["parity_error"]),
        rounding_error=float(entry["rounding_error"]),
        license=str(entry["license"]),
        training_data=str(entry["training_data"]),
        probe=_whole_file(root, name, entry["probe"]) if "probe" in entry else None,
    )


def _whole_file(root: Path, name: str, entry: Mapping[str, Any]) -> Path:
    file = root / Path(entry["file"]).name
    if not file.is_file():
        raise BundleError(root, f"the file {file.name} of network {name!r} is missing; export it again")
    expected = f"sha256:{entry['sha256']}"
    if (found := file_digest(file)) != expected:
        raise BundleError(
            root, f"{file.name} is damaged: expected {expected}, but got {found}; copy it again"
        )
    return file


def _fixed_size(root: Path, name: str, entry: Mapping[str, Any]) -> FixedSize:
    buckets = entry["input"]["size_buckets"]
    if len(buckets) != 1 or buckets[0][0] != buckets[0][1]:
        raise BundleError(root, f"network {name!r}: expected one square size bucket, but got {buckets}")
    return FixedSize(int(buckets[0][0]))


def _any_size(root: Path, name: str, entry: Mapping[str, Any]) -> AnySize:
    step, max_side = int(entry["input"]["size_step"]), int(entry["input"]["max_side"])
    stride = int(entry["output_stride"])
    if stride < 1 or step < 1 or step % stride or max_side < 1 or max_side % step:
        found = f"output_stride {stride}, size_step {step}, max_side {max_side}"
        rule = "expected each to be a positive multiple of the one before"
        raise BundleError(root, f"network {name!r}: {rule}, but got {found}; export it again")
    return AnySize(step, max_side)
