"""The rules that datasets break, by name. Names are stable: programs read them."""

from __future__ import annotations

from boxmask_core.checks.findings import Rule, Severity

_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

# Images, and what is said of them.
MISSING_IMAGE = Rule("missing_image", _ERROR, "the image file does not exist")
UNREADABLE_IMAGE = Rule("unreadable_image", _ERROR, "the system does not let the image file be read")
CORRUPT_IMAGE = Rule("corrupt_image", _ERROR, "the file is no image, or its header is broken")
IMAGE_TOO_LARGE = Rule("image_too_large", _ERROR, "more bytes or pixels than the limit")
TOO_MANY_BOXES = Rule("too_many_boxes", _ERROR, "more boxes in one image than the limit")
BAD_ANNOTATION = Rule("bad_annotation", _ERROR, "the annotation of an image cannot be read")
KEY_COLLISION = Rule(
    "key_collision", _ERROR, "two images would share an output: the same path but for its suffix"
)
SIZE_MISMATCH = Rule("size_mismatch", _ERROR, "the declared size is not the image's")
EMPTY_IMAGE = Rule("empty_image", _WARNING, "an image without any object")
DUPLICATE_IMAGE = Rule("duplicate_image", _WARNING, "the same bytes as an earlier image")
EQUAL_BASE_NAME = Rule("equal_base_name", _WARNING, "the same file name as an image of another folder")
TURNED_BOXES = Rule(
    "turned_boxes",
    _WARNING,
    "the declared size is that of the stored pixels, which EXIF turns: boxes are turned",
)
RESCALED_BOXES = Rule("rescaled_boxes", _WARNING, "the declared size is not the image's: boxes are scaled")
UNSCALED_BOXES = Rule(
    "unscaled_boxes", _WARNING, "the declared size is not the image's: boxes are taken as they are"
)

# Boxes.
UNLISTED_CLASS = Rule("unlisted_class", _ERROR, "the class is not among the dataset's classes")
NAN_BOX = Rule("nan_box", _ERROR, "a coordinate is not a finite number")
DEGENERATE_BOX = Rule("degenerate_box", _ERROR, "the box has no area")
MALFORMED_BOX = Rule("malformed_box", _ERROR, "the box lacks a coordinate or its class, or is rotated")
BOX_OUTSIDE_IMAGE = Rule("box_outside_image", _ERROR, "the box lies wholly outside its image")
CLIPPED_BOX = Rule("clipped_box", _WARNING, "the box reaches beyond its image, and is cut off there")
DUPLICATE_BOX = Rule("duplicate_box", _WARNING, "the same class and box as an earlier one of its image")
BOX_COVERS_IMAGE = Rule(
    "box_covers_image", _WARNING, "the box covers its image, so it tells nothing of the object"
)

# Files and references.
MISSING_FILE = Rule("missing_file", _ERROR, "a file that belongs to the dataset does not exist")
UNREADABLE_FILE = Rule("unreadable_file", _ERROR, "a file cannot be read as what it should be")
MISSING_FIELD = Rule("missing_field", _ERROR, "a field that the format asks for is missing or malformed")
DUPLICATE_ID = Rule("duplicate_id", _ERROR, "an id that must be unique occurs twice")
DANGLING_REFERENCE = Rule("dangling_reference", _ERROR, "an id names something that is not there")

# Masks.
BAD_MASK = Rule("bad_mask", _ERROR, "the encoded mask does not decode")
WRONG_SIZE = Rule("wrong_size", _ERROR, "the mask has not the size of its image")
WRONG_AREA = Rule("wrong_area", _ERROR, "the area is not that of the mask")
WRONG_BBOX = Rule("wrong_bbox", _ERROR, "the bounding box is not that of the mask")
EMPTY_MASK = Rule("empty_mask", _ERROR, "an instance without a pixel")
BAD_POLYGON = Rule("bad_polygon", _ERROR, "a polygon must be three points or more, with finite coordinates")
FLAT_POLYGON = Rule("flat_polygon", _WARNING, "the points of a polygon lie on a line: it may hold no pixel")
OUTSIDE_IMAGE = Rule("outside_image", _ERROR, "a mask or a polygon reaches beyond its image")
NOT_NORMALISED = Rule("not_normalised", _ERROR, "a coordinate must lie between 0 and 1")
DUPLICATE_MASK = Rule("duplicate_mask", _WARNING, "the same class and shape as an earlier one of its image")
ALL_CROWD = Rule(
    "all_crowd", _WARNING, "iscrowd is 1 everywhere: evaluation and trainers leave all of it out"
)
ROUGH_AREA = Rule("rough_area", _WARNING, "the area differs from that of the filled polygon by over a tenth")

# Label maps.
WRONG_MODE = Rule("wrong_mode", _ERROR, "the PNG holds colours or another depth where it should hold indices")
WRONG_PALETTE = Rule("wrong_palette", _ERROR, "the palette gives an index another colour than Pascal VOC's")
BAD_INDEX = Rule("bad_index", _ERROR, "an index for which there is no class")
MIXED_OBJECT = Rule("mixed_object", _ERROR, "the pixels of one object belong to several classes, or to none")
SEGMENTS_DIFFER = Rule("segments_differ", _ERROR, "the PNG and the list of its segments do not agree")

# A conversion, and its source.
INCOMPLETE = Rule("incomplete", _ERROR, "the files hold another number than summary.json")
NOT_CONVERTED = Rule(
    "not_converted", _ERROR, "an image of the source without an answer, and no error says why"
)
NOT_IN_SOURCE = Rule("not_in_source", _ERROR, "an image that the source does not have")
MISSING_MASK = Rule("missing_mask", _ERROR, "fewer masks than the source has boxes, and no error says why")
SURPLUS_MASK = Rule("surplus_mask", _ERROR, "more masks than the source has boxes")
