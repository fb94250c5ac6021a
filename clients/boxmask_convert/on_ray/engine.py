"""A conversion on Ray: its workers make the masks, the journal takes them, and the run then finds them there.

The dataset goes through Ray Data in small parts, so that memory does not grow with it. A worker that dies is
replaced, and the parts that it had in hand are answered again. All that is written is lines of the journal,
and so it does not matter in which order, or on which machine, the answers were made.
"""

from __future__ import annotations

import logging
import sys
from contextlib import closing, redirect_stdout
from dataclasses import replace
from importlib.metadata import version
from time import perf_counter
from typing import TYPE_CHECKING, Final, cast

from boxmask_convert.on_ray.cluster import pool_of, ray_cluster
from boxmask_convert.opening import open_journal
from boxmask_convert.progress import open_progress
from boxmask_core.errors import ClusterError, TooManyFailuresError
from boxmask_core.locations import location

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import pyarrow as pa
    from ray.data import Dataset

    from boxmask_convert.answers.journal import Journal
    from boxmask_convert.answers.keys import AnswerKeys
    from boxmask_convert.on_ray.cluster import Pool
    from boxmask_convert.on_ray.parts import PartTold
    from boxmask_convert.plan import Plan
    from boxmask_convert.result.stage import Stage
    from boxmask_convert.settings import Settings

AT_ONCE: Final = 2
"""Parts that a worker has in hand: while the last images of one are finished, those of the next begin."""


def fill_by_ray(plan: Plan, keys: AnswerKeys, stage: Stage) -> None:
    """Makes all masks that the journal does not have on a Ray cluster, and journals each when it comes.

    Args:
        plan: What to convert.
        keys: Gives the answers' keys.
        stage: Where the journal is.

    Raises:
        TooManyFailuresError: More images failed than the settings allow.
        MissingExtraError: Ray is not installed.
        BoxmaskError: The cluster cannot do it; what was answered is journalled.
        OSError: The journal cannot be written.
    """
    told = sys.stdout  # Ray writes there what befalls its workers, which belongs to the standard error
    with (
        open_journal(stage, plan.settings) as journal,
        redirect_stdout(sys.stderr),
        ray_cluster() as machines,
    ):
        pool = pool_of(machines, plan.settings)
        earlier = f"; the journal has {len(journal)} answers of earlier runs" if len(journal) else ""
        told.write(f"ray     {pool}{earlier}\n")
        told.flush()
        start = perf_counter()
        with closing(_answers(plan, keys, pool, journal)) as answers:
            reused = keep(answers, plan, journal)
        seconds, fresh = perf_counter() - start, len(plan) - reused
        rate = f"{fresh} images in {seconds:.1f} s ({fresh / seconds:.1f} images/s)"
        told.write(f"ray     {rate}{f', {reused} from the journal' if reused else ''}\n")


def keep(answers: Iterable[PartTold], plan: Plan, journal: Journal) -> int:
    """Journals what the workers tell, and checks that they told of everything.

    Returns:
        How many images the journal had already.
    """
    from boxmask_convert.on_ray.parts import PART

    total, most = len(plan), plan.settings.max_errors
    missing = set(range(-(-total // PART)))
    images = reused = failed = 0
    last = ""
    with open_progress(plan.settings.progress, total) as progress:
        for told in answers:
            if told.problem:
                raise ClusterError(told.problem, told.exit_status)
            if told.part not in missing:
                continue  # told before: its worker died after that
            missing.remove(told.part)
            for image in told.images:
                if image.line:
                    journal.add(image.line)
                images += 1
                reused += image.reused
                progress.advance(reused=image.reused, failed=image.failed)
                failed += bool(image.failure)
                last = image.failure or last
            if most is not None and failed > most:
                raise TooManyFailuresError(failed, most, last)
    if missing or images != total:
        raise ClusterError(
            f"Ray told of {images} images where the dataset has {total}; run the same command again, which "
            "asks about the others"
        )
    return reused


def _answers(plan: Plan, keys: AnswerKeys, pool: Pool, journal: Journal) -> Generator[PartTold, None, None]:
    """Yields what became of each part, in whatever order they are done."""
    from ray.data.exceptions import ExecutionTimeoutError
    from ray.exceptions import RayError, RayTaskError

    from boxmask_convert.on_ray.parts import PartTold

    answered = _answered(plan, keys, pool, journal)
    try:
        for rows in answered.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
            for row in cast("pa.Table", rows).to_pylist():
                yield PartTold.from_row(row)
    except RayTaskError:
        raise  # a defect of ours in a worker; its traceback tells more than a sentence would
    except (RayError, ExecutionTimeoutError) as error:
        raise ClusterError(
            f"Ray gave up: {error}; what was answered is kept: the same command goes on from there"
        ) from error


def _answered(plan: Plan, keys: AnswerKeys, pool: Pool, journal: Journal) -> Dataset:
    """Returns the dataset of the answers, which is made while it is read.

    Ray replaces a worker that dies, and has its parts answered by another, as often as that happens. An image
    that kills every worker ends the run when all others are done and nothing has come for a while, by Ray's
    own limit.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    from boxmask_convert.on_ray.parts import PART, Parts
    from boxmask_convert.on_ray.worker import RayWorker

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    parts = -(-len(plan) // PART)
    workers = ActorPoolStrategy(
        min_size=min(pool.workers, parts),
        max_size=parts,
        max_tasks_in_flight_per_actor=AT_ONCE,
        max_concurrent_calls_per_actor=AT_ONCE,
        enable_true_multi_threading=True,
    )
    settings = _on_any_machine(plan.settings)
    constructor = (_on_a_worker(settings, pool), keys, ray.put(journal.known()), version("boxmask"))
    context = DataContext.get_current().copy()
    context.target_max_block_size = 1  # each row is a block, and so each part is a task
    context.max_errored_blocks = 0  # what fails ends the run: no part is dropped
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    with DataContext.current(context):
        answered: Dataset = ray.data.read_datasource(Parts(settings, len(plan)), num_cpus=0).map(
            RayWorker,
            fn_constructor_args=constructor,
            compute=workers,
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
        )
    return answered


def _on_any_machine(settings: Settings) -> Settings:
    """Returns the settings with paths that do not depend on where a process was started."""
    bundle = settings.bundle.absolute() if settings.bundle is not None else None
    images = str(location(settings.images).absolute()) if settings.images is not None else None
    return replace(settings, data=settings.data.absolute(), bundle=bundle, images=images)


def _on_a_worker(settings: Settings, pool: Pool) -> Settings:
    return replace(settings, workers=pool.cpus, device=settings.device if pool.gpus else "cpu")
