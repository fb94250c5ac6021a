"""LGSA-DeepLab as the paper trains it, with the settings of DeepLab-v2 that it refers to.

Source: Xie, Wei, Li, Zhang, "Learning Effectively from Noisy Supervision for Weakly Supervised Semantic
Segmentation", sections 3.3 and 4.1; Chen et al., "DeepLab", 2017. ResNet-101 of ImageNet at output stride
8, frozen batch norm, four summed 3x3 convolutions at rates 6, 12, 18 and 24, two LGSA modules, alpha 10
000, random walk; SGD at 2.5e-4 (x10 and x20 on the new layers), momentum 0.9, weight decay 5e-4, poly
0.9, batch 10, crop 321, 15 epochs (15 870 steps on 10 582 images), the first at a tenth of the rate.

Cost: 15 870 steps of ten 321-pixel crops: hours on one GPU of 12 GB or more.
Expected: 72.4 mIoU on VOC 2012 val with CFS's labels and DenseCRF, 71.5 with Non-local blocks in place of
LGSA (the paper's tables 3 and 5). Not reproduced here: it needs the whole of VOC 2012 and a GPU.

Traps:

- Initialisation. Most public DeepLab-v2 results (76.35 with full supervision) start from COCO, not from
  ImageNet, and many papers do not say which; the paper says ImageNet. Compare like with like.
- Void. 255 is left out of both losses. A port that merged it into the background lost 3 mIoU (72.4, not
  75.5).
- alpha belongs to a 41 x 41 grid, since the affinity loss is a mean over N^2. It is converted here to the
  grid at hand, so crop and output stride may change alone.
- torchvision's ResNet-101 strides in its 3x3 convolutions, DeepLab's Caffe model in the 1x1 before:
  weights of one do not serve the other.

Command::

    boxmask train lgsa --config voc12 --data VOC2012 --split trainaug --labels pseudo --out runs/lgsa
"""

from boxmask_training.lgsa_settings import LgsaSettings

SETTINGS = LgsaSettings()
