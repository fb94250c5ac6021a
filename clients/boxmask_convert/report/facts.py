"""The report's plain facts: what the images were like, and what the conversion was told and made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from boxmask_convert.report.markup import bars, definitions, section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from boxmask_convert.result.summary import Summary
    from boxmask_convert.settings import Settings

_MODES: Final[Mapping[str, str]] = {
    "1": "black and white (1 bit)",
    "L": "grey",
    "LA": "grey with transparency, laid over white",
    "La": "grey with transparency, laid over white",
    "P": "palette",
    "PA": "palette with transparency, laid over white",
    "RGB": "colour (RGB)",
    "RGBA": "colour with transparency, laid over white",
    "RGBX": "colour (RGB) with padding",
    "RGBa": "colour with transparency, laid over white",
    "CMYK": "CMYK inks, turned into RGB",
    "YCbCr": "YCbCr, turned into RGB",
    "LAB": "CIE Lab, turned into RGB",
    "I;16": "grey, 16 bits scaled to 8",
    "I;16L": "grey, 16 bits scaled to 8",
    "I;16B": "grey, 16 bits scaled to 8",
    "I;16N": "grey, 16 bits scaled to 8",
}
"""Pillow's names of pixel layouts, and what becomes of them."""
_POLICIES: Final = {
    "area": "the smaller box lies on top",
    "order": "what comes later in the dataset lies on top",
    "score": "the mask of higher quality lies on top",
    "priority": "by class: {}",
    "void": "a pixel that several claim is void",
}
_MISMATCHES: Final = {
    "error": "the image fails",
    "scale": "boxes are scaled to the image",
    "image": "boxes are taken as they are",
}


def images(summary: Summary) -> str:
    """Returns the section on the images, or nothing where none was converted."""
    if not summary.modes:
        return ""
    rows = (
        (f"{_MODES.get(mode, 'other')} [{mode}]", count, f"{count:,}")
        for mode, count in sorted(summary.modes.items(), key=lambda item: (-item[1], item[0]))
    )
    mismatches = summary.failures.get("size_mismatch", 0)
    counts = definitions(
        [
            ("Turned upright", _count(summary.images_turned, "whose boxes were drawn on the stored pixels")),
            ("Other size declared", _count(mismatches, "failed for it")),
            ("Boxes scaled", _count(summary.images_rescaled, "of another size than declared")),
            ("Several frames", _count(summary.images_of_several_frames, "of which the first was masked")),
        ]
    )
    content = bars("Images by colour mode", ("Colour mode", "Images"), rows) + counts
    return section("images", "Images", "How the pixels were stored; the networks see RGB.", content)


def facts(summary: Summary, settings: Settings) -> str:
    """Returns the section on settings and versions."""
    asked = definitions(_asked(summary, settings))
    made = definitions(
        [
            ("Made by", summary.labeler),
            *(("Network", digest) for digest in summary.model_digests),
            *((name, number) for name, number in summary.versions.items()),
            ("Finished", summary.finished),
            *(("Note", note) for note in summary.notes),
            *(("Lost", f"{loss}: {count}") for loss, count in summary.losses.items()),
        ]
    )
    content = (
        f'<div class="columns plain"><div><h3>Settings</h3>{asked}</div>'
        f"<div><h3>Versions and notes</h3>{made}</div></div>"
    )
    explanation = "What was asked for, what made the masks, and what the format could not hold."
    return section("conversion", "Conversion", explanation, content)


def _asked(summary: Summary, settings: Settings) -> Iterator[tuple[str, str]]:
    yield "Data", summary.data
    yield "Split", summary.split or "all annotated images"
    yield "Images", settings.images or ""
    yield "Format", summary.target
    yield "Method", summary.method
    yield "GrabCut", settings.grabcut_engine if settings.server is None else "the server's"
    yield "Server", settings.server.address if settings.server is not None else ""
    yield "Engine", settings.engine
    yield "Overlaps", _POLICIES[settings.overlaps.policy].format(" over ".join(settings.overlaps.priority))
    yield "Void below quality", "" if settings.void_below is None else f"{settings.void_below:g}"
    yield "Lossy formats", "allowed" if settings.allow_lossy else ""
    yield "Other size declared", _MISMATCHES[settings.size_mismatch]
    yield "VOC origin", settings.voc_origin
    yield "Limit", "" if settings.limit is None else f"the first {settings.limit} images"


def _count(number: int, what: str) -> str:
    return f"{number:,} {'image' if number == 1 else 'images'} {what}" if number else ""
