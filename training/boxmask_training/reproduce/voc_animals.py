"""The paper's method on a part of VOC 2012, sized for two CPU cores.

Data: a folder in the layout of VOC 2012 whose image sets ``trainaug`` and ``val`` hold nearly only cats,
cows, dogs, horses, sheep and people; figures are mIoU-7, over these and the background. The networks are
those of the starter bundle and of ``boxmask train lgsa --config voc_animals``. The *order* of rows can be
compared with the paper's; the figures cannot: the paper's are over 21 classes, with ResNet-101 and
DenseCRF.

Cost: about 10 minutes of one core a run, 13 runs; before them the label maps and, without
``--cfs-bundle``, CFS (an hour).

Command::

    boxmask reproduce voc_animals --data VOC2012 --out reproduction
"""

from boxmask_core.bundle import starter_path
from boxmask_training.configs import cfs_starter, lgsa_voc_animals
from boxmask_training.reproduce.recipe import Config, Line, Recipe, Row, Table

RECIPE = Recipe(
    name="voc_animals",
    cfs=Config("starter", cfs_starter.SETTINGS),
    lgsa=Config("voc_animals", lgsa_voc_animals.SETTINGS),
    held_out=starter_path() / "held_out.txt",
    classes=("background", "cat", "cow", "dog", "horse", "sheep", "person"),
    rows=(
        Row(name="cfs", labels="cfs", seeds=(0, 1), crf=True),
        Row(name="cfs-nonlocal", labels="cfs", changes={"attention": "nonlocal"}, seeds=(0, 1), crf=True),
        Row(name="grabcut", labels="grabcut", seeds=(0, 1), crf=True),
        Row(name="truth", labels="truth", crf=True),
        Row(name="box", labels="box", crf=True),
        Row(name="cfs-none", labels="cfs", changes={"attention": "none"}),
        Row(name="cfs-no-walk", labels="cfs", changes={"walk": False}),
        Row(name="cfs-alpha-0-walk", labels="cfs", changes={"alpha": 0.0}),
        Row(name="cfs-alpha-50000", labels="cfs", changes={"alpha": 50_000.0}),
        Row(name="cfs-alpha-50000-no-walk", labels="cfs", changes={"alpha": 50_000.0, "walk": False}),
    ),
    tables=(
        Table(
            "Supervision (the paper's table 2)",
            "Two LGSA modules with random walk on every kind of label. The paper's figures are over 21 "
            "classes, of DeepLab-v2 without attention, the true labels' from its table 1.",
            (
                Line("boxes, filled", "box", 55.4),
                Line("GrabCut", "grabcut", 66.6),
                Line("CFS", "cfs", 70.8),
                Line("truth", "truth", 76.2),
            ),
            reference="truth",
        ),
        Table(
            "Attention (the paper's table 3)",
            "Two modules, on CFS's labels. The paper's figures are over 21 classes, with DenseCRF.",
            (
                Line("none", "cfs-none", 70.8),
                Line("Non-local", "cfs-nonlocal", 71.5),
                Line("LGSA without random walk", "cfs-no-walk", 71.8),
                Line("LGSA with random walk", "cfs", 72.4),
            ),
        ),
        Table(
            "Alpha and random walk (the paper's table 5)",
            "Two modules, on CFS's labels. Alpha 0 without random walk is the Non-local block. The paper's "
            "figures are over 21 classes, with DenseCRF.",
            (
                Line("0, without random walk", "cfs-nonlocal", 71.5),
                Line("0, with", "cfs-alpha-0-walk", 71.5),
                Line("10 000, without", "cfs-no-walk", 71.8),
                Line("10 000, with", "cfs", 72.4),
                Line("50 000, without", "cfs-alpha-50000-no-walk"),
                Line("50 000, with", "cfs-alpha-50000"),
            ),
        ),
    ),
)
