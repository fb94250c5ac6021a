"""Checks the tests: breaks the method in ways that would go unnoticed, and fails if a test lets one through.

    make mutations

Each mutation is made in a copy of the sources, never in the tree itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("core", "training")
COPIED = (*PACKAGES, "tests", "pyproject.toml")
NO_TESTS_FAILED, TESTS_FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mistake.

    Attributes:
        name: What is wrong.
        file: Where, below ``training/boxmask_training``.
        right: The source as it is; it stands there once.
        wrong: The source with the mistake.
        tests: The test file that must notice, below ``tests/training``.
    """

    name: str
    file: str
    right: str
    wrong: str
    tests: str


MUTATIONS = (
    Mutation(
        "the sign of the walk is flipped", "models/deeplab.py",
        "reweight(affinities[-1].theta, affinities[-1].phi, scores)",
        "-reweight(affinities[-1].theta, affinities[-1].phi, scores)", "test_lgsa.py",
    ),
    Mutation(
        "the walk takes the first module's affinity", "models/deeplab.py",
        "reweight(affinities[-1].theta, affinities[-1].phi, scores)",
        "reweight(affinities[0].theta, affinities[0].phi, scores)", "test_lgsa.py",
    ),
    Mutation(
        "the walk goes along the columns of W", "models/deeplab.py",
        "reweight(affinities[-1].theta, affinities[-1].phi, scores)",
        "reweight(affinities[-1].phi, affinities[-1].theta, scores)", "test_lgsa.py",
    ),
    Mutation(
        "attention is scaled by 1/sqrt(d)", "models/attention.py",
        "scale=1.0", "scale=None", "test_lgsa.py",
    ),
    Mutation(
        "h does not start at zero", "models/lgsa.py",
        "nn.init.zeros_(self.h.weight)", "nn.init.ones_(self.h.weight)", "test_lgsa.py",
    ),
    Mutation(
        "the residual is missing", "models/lgsa.py",
        "z: Tensor = self.h(reweight(*affinity, self.g(x))) + x",
        "z: Tensor = self.h(reweight(*affinity, self.g(x)))", "test_lgsa.py",
    ),
    Mutation(
        "W_gt is not normalised (linear)", "affinity_loss.py",
        "same * share[:, rows, None]", "same", "test_affinity_loss.py",
    ),
    Mutation(
        "W_gt is not normalised (dense)", "affinity_loss.py",
        "ideal = ideal / ideal.sum(dim=2, keepdim=True)", "", "test_affinity_loss.py",
    ),
    Mutation(
        "the loss scales by 1/sqrt(d)", "affinity_loss.py",
        "torch.softmax(queries[:, rows] @ phi, dim=2)",
        "torch.softmax(queries[:, rows] @ phi / phi.shape[1] ** 0.5, dim=2)", "test_affinity_loss.py",
    ),
    Mutation(
        "void rows count", "affinity_loss.py",
        "known[:, rows, None] & known[:, None, :]", "known[:, None, :]", "test_affinity_loss.py",
    ),
    Mutation(
        "void columns count", "affinity_loss.py",
        "known[:, rows, None] & known[:, None, :]", "known[:, rows, None]", "test_affinity_loss.py",
    ),
    Mutation(
        "void is divided by as if it were counted", "affinity_loss.py",
        "count = known.sum(dim=1)\n        images",
        "count = torch.full_like(known.sum(dim=1), known.shape[1])\n        images", "test_affinity_loss.py",
    ),
    Mutation(
        "void is background to the cross-entropy", "segmentation_losses.py",
        "wanted = labels_of_cells(labels, settings.score_stride).long()",
        "wanted = labels_of_cells(labels, settings.score_stride).long() % VOID",
        "test_segmentation_losses.py",
    ),
    Mutation(
        "alpha does not follow the grid", "segmentation_losses.py",
        "alpha = alpha_at(settings.alpha, cells[0].numel())", "alpha = settings.alpha",
        "test_segmentation_losses.py",
    ),
    Mutation(
        "only the last module is guided", "segmentation_losses.py",
        "for affinity in out.affinities:", "for affinity in out.affinities[-1:]:",
        "test_segmentation_losses.py",
    ),
    Mutation(
        "batch norm goes on learning", "train_lgsa.py",
        "module.requires_grad_(False)\n    if", "module.requires_grad_(True)\n    if", "test_train_lgsa.py",
    ),
)  # fmt: skip


def main() -> int:
    """Tries every mutation and returns the number of those that no test noticed."""
    unnoticed = 0
    for mutation in MUTATIONS:
        noticed = is_noticed(mutation)
        unnoticed += not noticed
        sys.stdout.write(f"{'noticed  ' if noticed else 'UNNOTICED'}  {mutation.name}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(MUTATIONS) - unnoticed} of {len(MUTATIONS)} mutations were noticed\n")
    return unnoticed


def is_noticed(mutation: Mutation) -> bool:
    """Says whether the tests fail when the mistake is made.

    Raises:
        RuntimeError: The mistake cannot be made, or the tests cannot be run.
    """
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            copied = shutil.copytree if source.is_dir() else shutil.copy
            copied(source, copy / name)
        file = copy / "training" / "boxmask_training" / mutation.file
        source_text = file.read_text(encoding="utf-8")
        if source_text.count(mutation.right) != 1:
            raise RuntimeError(f"{mutation.file} does not hold once: {mutation.right!r}")
        file.write_text(source_text.replace(mutation.right, mutation.wrong), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", f"tests/training/{mutation.tests}"]
        paths = os.pathsep.join(str(copy / package) for package in PACKAGES)
        environment = {**os.environ, "PYTHONPATH": paths}
        run = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
        if run.returncode not in (NO_TESTS_FAILED, TESTS_FAILED):
            raise RuntimeError(f"{mutation.name}: pytest ended with {run.returncode}\n{run.stdout}")
        return run.returncode == TESTS_FAILED


if __name__ == "__main__":
    sys.exit(main())
