"""Whole datasets as trees of files, and wear of them: of bytes, and of the words that a text consists of."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cache, reduce
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
from hypothesis import strategies as st
from pyarrow import parquet

from boxmask_core.formats import READERS, WRITERS
from tests.core.formats.test_round_trips import SOURCES, scene
from tests.fuzz.damage import Damage, apply_damage, damages
from tests.fuzz.words import Word, with_word, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import SearchStrategy

Tree = tuple[tuple[str, bytes], ...]
"""Paths below the dataset's folder, and what the files hold."""
Dataset = tuple[str, Tree]
"""A format, and files that are or were of it."""
Wear = tuple[int, Word | Damage]
"""Which file (modulo their number), and with what."""


@cache
def _sources() -> tuple[Dataset, ...]:
    with TemporaryDirectory() as folder:
        for name in READERS:
            (Path(folder) / name).mkdir()
            SOURCES[name](Path(folder) / name)
        return tuple((name, _tree(Path(folder) / name)) for name in READERS)


@cache
def _conversions() -> tuple[Dataset, ...]:
    with TemporaryDirectory() as folder:
        class_names, images = scene("voc", Path(folder) / "source")
        for name in WRITERS:
            with WRITERS[name](Path(folder) / name, class_names) as writer:
                for image in images:
                    writer.write(image)
        return tuple((name, _tree(Path(folder) / name)) for name in WRITERS)


def worn_sources() -> SearchStrategy[Dataset]:
    """Gives datasets of boxes, one in every format that is read, with up to four pieces of wear."""
    return st.deferred(lambda: _worn_datasets(_sources()))


def worn_conversions(*names: str) -> SearchStrategy[Dataset]:
    """Gives datasets of masks likewise, in these formats, or else in every one that is written."""
    return st.deferred(
        lambda: _worn_datasets(
            tuple(dataset for dataset in _conversions() if not names or dataset[0] in names)
        )
    )


@contextmanager
def laid_out(tree: Tree) -> Iterator[Path]:
    """Writes the files into a new folder, far enough below others that ``..`` leads nowhere."""
    with TemporaryDirectory() as folder:
        root = Path(folder, "a", "b", "c", "dataset")
        for name, content in tree:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        yield root


def _tree(root: Path) -> Tree:
    files = sorted(file for file in root.rglob("*") if file.is_file())
    # Annotations first: most of the wear is to fall on them.
    files.sort(key=lambda file: file.suffix in {".jpg", ".png"})
    return tuple((file.relative_to(root).as_posix(), file.read_bytes()) for file in files)


def _worn_datasets(whole: tuple[Dataset, ...]) -> SearchStrategy[Dataset]:
    wears: SearchStrategy[Wear] = st.tuples(
        st.one_of(st.just(0), st.integers(0, 20)), st.one_of(words, words, damages)
    )
    return st.builds(
        lambda dataset, wears: (dataset[0], reduce(_worn, wears, dataset[1])),
        st.sampled_from(whole),
        st.lists(wears, max_size=4),
    )


def _worn(tree: Tree, wear: Wear) -> Tree:
    number, value = wear[0] % len(tree), wear[1]
    name, content = tree[number]
    if len(value) == 3:
        content = apply_damage(content, value)
    elif name.endswith(".parquet"):
        content = _worn_parquet(content, value)
    else:
        content = with_word(content, value)
    return (*tree[:number], (name, content), *tree[number + 1 :])


def _worn_parquet(content: bytes, word: Word) -> bytes:
    try:
        rows = parquet.read_table(BytesIO(content)).to_pylist()
        rows = json.loads(with_word(json.dumps(rows).encode(), word))
        out = BytesIO()
        parquet.write_table(pa.Table.from_pylist(rows), out)
    except (pa.ArrowException, ValueError, TypeError, AttributeError, OSError, OverflowError, RecursionError):
        return content  # damaged before, or Parquet does not hold such rows
    return out.getvalue()
