"""The steps of a recipe, in an order in which each comes after those whose products it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from boxmask_core.bundle import CFS, Bundle
from boxmask_core.errors import DatasetError
from boxmask_training.reproduce.step import Files, Step

if TYPE_CHECKING:
    from pathlib import Path

    from boxmask_training.reproduce.place import Place
    from boxmask_training.reproduce.recipe import Labels, Recipe, Row

TRUTH_FOLDERS: Final = ("SegmentationClass", "SegmentationClassAug")


def plan(recipe: Recipe, place: Place) -> tuple[Step, ...]:
    """Plans all rows of a recipe.

    Raises:
        DatasetError: The data is not laid out as VOC 2012.
        BundleError: The bundle to make pseudo-labels with is damaged or holds no CFS.
    """
    _check_layout(recipe, place)
    cfs = () if place.cfs_bundle is not None else _cfs_steps(recipe, place)
    kinds = list(dict.fromkeys(row.labels for row in recipe.rows if row.labels != "truth"))
    labels = [_labels_step(recipe, place, kind) for kind in kinds]
    runs = [
        step for row in recipe.rows for seed in row.seeds for step in _run_steps(recipe, place, row, seed)
    ]
    return (*cfs, *labels, *runs)


def score_steps(row: Row) -> tuple[str, ...]:
    """Returns the names of the steps that a row's figures come from."""
    names = [score_step(row, seed, crf=False) for seed in row.seeds]
    return (*names, *(score_step(row, seed, crf=True) for seed in row.seeds if row.crf))


def score_step(row: Row, seed: int, *, crf: bool) -> str:
    """Returns the name of the step that evaluates one run."""
    return f"{_run_name(row, seed)}/evaluate{'-crf' if crf else ''}"


def _cfs_steps(recipe: Recipe, place: Place) -> tuple[Step, ...]:
    proposals, run, bundle = (place.out / name for name in ("proposals", "cfs/run", "cfs/bundle"))
    boxes = place.boxes(recipe.train)
    judged: tuple[str | Path, ...] = ()
    files = [boxes]
    if recipe.held_out is not None:
        judged = ("--hold-out", recipe.held_out, "--truth", place.truth)
        judged += ("--judge-classes", _objects(recipe)) if recipe.classes else ()
        files.append(Files(recipe.held_out, (place.truth,)))
    checkpoint = run / ("last.ckpt" if recipe.held_out is None else "calibrated.ckpt")
    convert = Step(
        name="proposals",
        words=(
            "convert", place.data, proposals, "--to", "coco", "--split", recipe.train, "--method", "grabcut",
            "--no-report",
        ),
        placement=place.running,
        files=(boxes,),
        output=proposals,
        product=proposals,
    )  # fmt: skip
    train = Step(
        name="cfs/train",
        words=(
            "train", "cfs", "--data", place.data, "--split", recipe.train, "--proposals", proposals,
            "--out", run, *recipe.cfs.options(), *judged,
        ),
        placement=place.training,
        facts=(recipe.cfs.facts(),),
        files=tuple(files),
        after=(convert.name,),
        output=run,
        product=checkpoint,
        resumes=True,
    )  # fmt: skip
    return convert, train, _export_step("cfs/export", train, bundle, place)


def _labels_step(recipe: Recipe, place: Place, kind: Labels) -> Step:
    out = place.out / "labels" / kind
    words: tuple[str | Path, ...] = (
        "convert", place.data, out, "--to", "voc", "--split", recipe.train, "--method", kind, "--no-report",
    )  # fmt: skip
    after: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    if kind == "cfs" and place.cfs_bundle is not None:
        words += ("--bundle", place.cfs_bundle)
        facts = (Bundle.load(place.cfs_bundle).network(CFS).digest,)
    elif kind == "cfs":
        words += ("--bundle", place.out / "cfs" / "bundle")
        after = ("cfs/export",)
    return Step(
        name=f"labels/{kind}",
        words=words,
        placement=place.running,
        facts=facts,
        files=(place.boxes(recipe.train),),
        after=after,
        output=out,
        product=out,
    )


def _run_steps(recipe: Recipe, place: Place, row: Row, seed: int) -> tuple[Step, ...]:
    name = _run_name(row, seed)
    train = _train_step(recipe, place, row, seed)
    export = _export_step(f"{name}/export", train, place.out / name / "bundle", place)
    scored = [
        step
        for crf in ((False, True) if row.crf else (False,))
        for step in _scoring_steps(recipe, place, name, export, crf=crf)
    ]
    return (train, export, *scored)


def _train_step(recipe: Recipe, place: Place, row: Row, seed: int) -> Step:
    name = _run_name(row, seed)
    run = place.out / name / "run"
    true = row.labels == "truth"
    config = recipe.config(row, seed)
    files = place.boxes(recipe.train)
    if true:
        truth = tuple(place.data / folder for folder in TRUTH_FOLDERS)
        files = Files(files.image_set, (*files.folders, *truth))
    return Step(
        name=f"{name}/train",
        words=(
            "train", "lgsa", "--data", place.data, "--split", recipe.train,
            "--labels", place.data if true else place.out / "labels" / row.labels,
            "--out", run, *config.options(),
        ),
        placement=place.training,
        facts=(config.facts(),),
        files=(files,),
        after=() if true else (f"labels/{row.labels}",),
        output=run,
        product=run / "last.ckpt",
        resumes=True,
    )  # fmt: skip


def _export_step(name: str, train: Step, bundle: Path, place: Place) -> Step:
    return Step(
        name=name,
        words=("export", train.product, bundle, "--images", place.images),
        after=(train.name,),
        output=bundle,
        product=bundle,
    )


def _scoring_steps(recipe: Recipe, place: Place, name: str, export: Step, *, crf: bool) -> tuple[Step, Step]:
    suffix = "-crf" if crf else ""
    ids, maps = place.image_set(recipe.val), place.out / name / f"{recipe.val}{suffix}"
    scores = place.out / name / f"scores{suffix}.json"
    segment = Step(
        name=f"{name}/segment{suffix}",
        words=(
            "segment", place.images, maps, "--bundle", export.product, "--ids", ids,
            *(("--crf",) if crf else ()),
        ),
        placement=place.running,
        files=(Files(ids, (place.images,)),),
        after=(export.name,),
        output=maps,
        product=maps,
    )  # fmt: skip
    evaluate = Step(
        name=f"{name}/evaluate{suffix}",
        words=(
            "evaluate", maps, place.truth, "--ids", ids, "--names", maps / "class_names.txt", "--boundary",
            *(("--classes", ",".join(recipe.classes)) if recipe.classes else ()), "--json", scores,
        ),
        files=(Files(ids, (place.truth,)),),
        after=(segment.name,),
        output=scores,
        product=scores,
    )  # fmt: skip
    return segment, evaluate


def _run_name(row: Row, seed: int) -> str:
    return f"rows/{row.name}/seed-{seed}"


def _objects(recipe: Recipe) -> str:
    """Returns the classes without the background, which CFS does not know."""
    return ",".join(name for name in recipe.classes if name != "background")


def _check_layout(recipe: Recipe, place: Place) -> None:
    needed = [place.images, place.data / "Annotations", place.truth]
    needed += [place.image_set(recipe.train), place.image_set(recipe.val)]
    for path in needed:
        if not path.exists():
            raise DatasetError(
                place.data, f"expected the layout of VOC 2012, but there is no {path.relative_to(place.data)}"
            )
