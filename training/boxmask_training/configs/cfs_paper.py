"""CFS as the paper trains it.

Source: Xie, Wei, Li, Zhang, "Learning Effectively from Noisy Supervision for Weakly Supervised Semantic
Segmentation", sections 3.2 and 4.1: ResNet-50, 224 px, pixel-wise cross-entropy, SGD at 0.005, x0.8 every 10
epochs, 60 epochs, boxes under 50 px left out. Not stated there, and chosen here: batch 32, momentum 0.9,
weight decay 5e-4, horizontal flip with mild jitter of window and colour.

Class dropout goes beyond the paper: half of the samples come without their class, so that the network also
masks what it has no name for.

Cost: 60 epochs of VOC 2012 trainaug (about 26 000 boxes) on a GPU; hours, not days.
Expected: DeepLab-v2 trained on the resulting labels reaches 70.8 mIoU on VOC 2012 val (the paper's table 2),
against 66.6 on GrabCut's. That figure has not been reproduced here: it needs the whole of VOC 2012.

Command::

    boxmask convert VOC2012 --split trainaug --method grabcut --to coco proposals
    boxmask train cfs --config paper --data VOC2012 --split trainaug --proposals proposals --out runs/cfs
"""

from boxmask_training.cfs_settings import CfsSettings

SETTINGS = CfsSettings(class_dropout=0.5)
