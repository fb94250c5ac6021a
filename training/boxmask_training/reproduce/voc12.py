"""The paper's tables 2, 3 and 5 on the whole of VOC 2012, with its networks.

Source: Xie, Wei, Li, Zhang, "Learning Effectively from Noisy Supervision for Weakly Supervised Semantic
Segmentation", section 4. Data: VOC 2012 with the image set ``trainaug`` of 10 582 images; the row of true
labels also needs SBD's label maps (``SegmentationClassAug``).

Cost: GrabCut of 26 000 boxes twice, CFS with ResNet-50 for 60 epochs, then 18 runs of 15 870 steps with
ResNet-101: hours each on a GPU of 12 GB or more.
Expected: the figures beside the results. Not reproduced here: it needs the whole of VOC 2012 and a GPU.

Command::

    boxmask reproduce voc12 --data VOC2012 --out reproduction --device cuda
"""

from boxmask_training.configs import cfs_paper, lgsa_voc12
from boxmask_training.reproduce.recipe import Config, Line, Recipe, Row, Table

RECIPE = Recipe(
    name="voc12",
    cfs=Config("paper", cfs_paper.SETTINGS),
    lgsa=Config("voc12", lgsa_voc12.SETTINGS),
    rows=(
        Row(name="lgsa-2", labels="cfs", crf=True),
        Row(name="nonlocal-2", labels="cfs", changes={"attention": "nonlocal"}, crf=True),
        Row(name="deeplab-cfs", labels="cfs", changes={"attention": "none"}, crf=True),
        Row(name="deeplab-grabcut", labels="grabcut", changes={"attention": "none"}, crf=True),
        Row(name="deeplab-box", labels="box", changes={"attention": "none"}, crf=True),
        Row(name="deeplab-truth", labels="truth", changes={"attention": "none"}, crf=True),
        Row(name="lgsa-1", labels="cfs", changes={"modules": 1, "alpha": 1_000.0}, crf=True),
        Row(name="lgsa-3", labels="cfs", changes={"modules": 3}, crf=True),
        Row(name="nonlocal-1", labels="cfs", changes={"attention": "nonlocal", "modules": 1}, crf=True),
        Row(name="nonlocal-3", labels="cfs", changes={"attention": "nonlocal", "modules": 3}, crf=True),
        Row(name="alpha-0-walk", labels="cfs", changes={"alpha": 0.0}, crf=True),
        Row(name="alpha-5000", labels="cfs", changes={"alpha": 5_000.0}, crf=True),
        Row(name="alpha-5000-no-walk", labels="cfs", changes={"alpha": 5_000.0, "walk": False}, crf=True),
        Row(name="alpha-10000-no-walk", labels="cfs", changes={"walk": False}, crf=True),
        Row(name="alpha-15000", labels="cfs", changes={"alpha": 15_000.0}, crf=True),
        Row(name="alpha-15000-no-walk", labels="cfs", changes={"alpha": 15_000.0, "walk": False}, crf=True),
        Row(name="alpha-20000", labels="cfs", changes={"alpha": 20_000.0}, crf=True),
        Row(name="alpha-20000-no-walk", labels="cfs", changes={"alpha": 20_000.0, "walk": False}, crf=True),
    ),
    tables=(
        Table(
            "Supervision (the paper's table 2)",
            "DeepLab-v2 without attention. The paper's figure for true labels is from its table 1.",
            (
                Line("boxes, filled", "deeplab-box", 55.4),
                Line("GrabCut", "deeplab-grabcut", 66.6),
                Line("CFS", "deeplab-cfs", 70.8),
                Line("truth", "deeplab-truth", 76.2),
            ),
            reference="deeplab-truth",
        ),
        Table(
            "Attention (the paper's table 3)",
            "On CFS's labels. The paper applies DenseCRF.",
            (
                Line("Non-local, 1 module", "nonlocal-1", 71.3),
                Line("Non-local, 2 modules", "nonlocal-2", 71.5),
                Line("Non-local, 3 modules", "nonlocal-3", 71.5),
                Line("LGSA, 1 module", "lgsa-1", 71.9),
                Line("LGSA, 2 modules", "lgsa-2", 72.4),
                Line("LGSA, 3 modules", "lgsa-3", 72.6),
            ),
        ),
        Table(
            "Alpha and random walk (the paper's table 5)",
            "Two modules, on CFS's labels. Alpha 0 without random walk is the Non-local block. The paper "
            "applies DenseCRF.",
            (
                Line("0, without random walk", "nonlocal-2", 71.5),
                Line("0, with", "alpha-0-walk", 71.5),
                Line("5 000, without", "alpha-5000-no-walk", 71.7),
                Line("5 000, with", "alpha-5000", 72.1),
                Line("10 000, without", "alpha-10000-no-walk", 71.8),
                Line("10 000, with", "lgsa-2", 72.4),
                Line("15 000, without", "alpha-15000-no-walk", 71.8),
                Line("15 000, with", "alpha-15000", 72.3),
                Line("20 000, without", "alpha-20000-no-walk", 71.7),
                Line("20 000, with", "alpha-20000", 72.2),
            ),
        ),
    ),
)
