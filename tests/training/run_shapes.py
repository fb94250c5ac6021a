"""A run in processes of its own, to be killed or shared: ``ROOT OUT WORKERS CHECKPOINT_EVERY``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from boxmask_training.train_cfs import train_cfs
from tests.training.shapes import Shapes, shapes_job

if __name__ == "__main__":
    root, out, workers, every = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    job = shapes_job(Shapes(root / "voc", root / "proposals"), out, workers=workers)
    train_cfs(replace(job, checkpoint_every=every))
