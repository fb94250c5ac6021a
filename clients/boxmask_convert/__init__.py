"""The bulk converter: a detection dataset in, a mask dataset out."""
