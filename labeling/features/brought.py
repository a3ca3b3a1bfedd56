"""Features made elsewhere and brought along: a matrix in a file (`.npy`, Parquet), one row for each item.

The file is mapped or read in blocks, never loaded as a whole, checked, and copied row by row into the workspace in the
order of the items; nothing in it is ever executed.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Self

import numpy as np
from numpy.typing import NDArray
from sqlmodel import col, select

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, JobKind, Role
from labeling.errors import Invalid
from labeling.features.base import WORDS_FOLDER, Content, Kind, State
from labeling.features.clip import Clip
from labeling.features.matrix import COUNT_FILE, FeatureMatrix
from labeling.features.pretrained import Pretrained
from labeling.features.sentences import Sentences
from labeling.projects import count_items, update_settings
from labeling.users import require
from labeling.workspace import Workspace

BLOCK = 8192  # rows
WIDEST = 8192  # numbers to a row
ID_NAMES = ("external_id", "id", "item_id", "item", "file_name", "file", "name")  # of a column, the likeliest first
ENDINGS = (".npy", ".parquet")
READERS: dict[str, type[Pretrained]] = {encoder.name: encoder for encoder in (Clip, Sentences)}


@dataclass(frozen=True)
class Brought:
    """Stands for whatever made a matrix that was brought along: it cannot encode items itself.

    Attributes
    ----------
    digest : int
        The first 48 bits of the hash of the rows.
    columns : int
    reader : str
        The pretrained encoder that made them, as in "sentences:all-MiniLM-L6-v2", where its owner said so: then it can
        read words.
    home : Path
        The folder of the workspace.
    """

    digest: int
    columns: int
    reader: str = ""
    home: Path = field(default_factory=Path, compare=False)
    name: ClassVar[str] = "brought"
    kind: ClassVar[Kind | None] = None
    sample: ClassVar[int] = 0
    chunk: ClassVar[int] = BLOCK

    @classmethod
    def fit(cls, items: Sequence[Content]) -> NoReturn:
        """Features that were not brought yet cannot be made.

        Raises
        ------
        Invalid
            Always, saying how they are brought.
        """
        raise Invalid("No features were brought along yet; bring some with `askwise features`, or choose an encoder.")

    @classmethod
    def restore(cls, parameters: Mapping[str, int | str], state: State) -> Self:
        """What stands for the matrix with these parameters."""
        reader = str(parameters.get("reader", ""))
        return cls(digest=int(parameters["digest"]), columns=int(parameters["columns"]), reader=reader)

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """All that it takes to make this again."""
        told: dict[str, int | str] = {"digest": self.digest, "columns": self.columns}
        return told | ({"reader": self.reader} if self.reader else {})

    @property
    def state(self) -> State:
        """Nothing was learned here."""
        return {}

    @property
    def version(self) -> str:
        """Name of the folder of its matrix."""
        return f"{self.name}-{self.digest:012x}"

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.columns

    def encode(self, items: Sequence[Content]) -> NoReturn:
        """Features of other items than those that they were brought for cannot be made.

        Raises
        ------
        Invalid
            Always, saying what to do.
        """
        raise Invalid(
            "The features that were brought along have no rows for newer items; bring a file with all of them, or "
            "choose another encoder."
        )

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of t texts beside the rows: (t, width), of unit length.

        Raises
        ------
        Unavailable
            If the encoder that reads them cannot be had.
        Invalid
            If nobody said which it is, or it makes vectors of another length.
        """
        kind, _, spec = self.reader.partition(":")
        if kind not in READERS:
            raise Invalid("The features that were brought along know no words; name the encoder that made them.")
        encoder = READERS[kind].load(spec, self.home)
        if encoder.width != self.columns:
            raise Invalid(
                f"“{self.reader}” makes vectors of {encoder.width:,} numbers and the features have {self.columns:,}; "
                "name the encoder that made them."
            )
        return encoder.embed(texts)


def import_features(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    path: Path,
    *,
    words: str = "",
    progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Take a matrix of features into a project, whose encoder it becomes.

    Parameters
    ----------
    path
        An `.npy` file of shape (items, d) in the order in which the items came in; or a Parquet file, with one column
        of lists or any number of columns of numbers, and perhaps a column that names the items. Of half or single
        precision; double precision becomes single. Rows of items that the project does not have are passed over.
    words
        The encoder that made the features, as the setting `encoder` names one with weights
        (“sentences:all-MiniLM-L6-v2”), if class names and descriptions are to be read by it.

    Returns
    -------
    dict
        `rows`, `width`, `dtype`, `version` and `unused`, the number of rows passed over.

    Raises
    ------
    Invalid
        If the file cannot be read or does not fit the project's items.
    NotAllowed
        If the acting user is not an owner of the project.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
    if words and words.partition(":")[0] not in READERS:
        raise Invalid(f"“{words}” reads no words; name one of {' and '.join(READERS)}, as in sentences:NAME.")
    total = count_rows(workspace, project_id)
    if not total:
        raise Invalid("The project has no items yet; import them first, then their features.")
    with _opened(path) as (array, ids):
        order = _order(workspace, project_id, total, array, ids, path)
        dtype: Literal["float16", "float32"] = "float16" if array.dtype == np.float16 else "float32"
        said = hashlib.sha256(f"{dtype} {len(order)} {array.shape[1]}".encode())
        for start in range(0, len(order), BLOCK):
            said.update(_rows(array, order[start : start + BLOCK], dtype, path).tobytes())
            if progress:
                progress(start / len(order) / 2, f"{start:,} of {len(order):,} rows checked")
        encoder = Brought(int(said.hexdigest()[:12], 16), array.shape[1], words, workspace.root)
        folder = workspace.features(project_id, encoder.version)
        if (folder / COUNT_FILE).exists():
            matrix = FeatureMatrix.open(folder)
            matrix.renew(parameters=encoder.parameters)
            shutil.rmtree(folder / WORDS_FOLDER, ignore_errors=True)  # another encoder may have read them
        else:
            matrix = FeatureMatrix.create(
                folder, width=encoder.width, encoder=encoder.name, version=encoder.version,
                parameters=encoder.parameters, dtype=dtype,
            )  # fmt: skip
        while matrix.rows < len(order):
            matrix.append(_rows(array, order[matrix.rows : matrix.rows + BLOCK], dtype, path))
            if progress:
                progress(0.5 + matrix.rows / len(order) / 2, f"{matrix.rows:,} of {len(order):,} rows taken")
        unused = len(array) - int(np.count_nonzero(order >= 0))
    update_settings(workspace, actor_id, project_id, {"encoder": Brought.name})
    with writing(workspace.engine) as session:  # features may have replaced others that were brought along
        jobs.request(session, project_id, JobKind.TRAIN)
    return {
        "rows": matrix.rows, "width": matrix.width, "dtype": dtype, "version": matrix.version, "unused": unused
    }  # fmt: skip


def count_rows(workspace: Workspace, project_id: int) -> int:
    """How many rows a matrix of all the project's items has."""
    with reading(workspace.engine) as session:
        return count_items(session, project_id)


@contextmanager
def opened_features(path: Path) -> Iterator[NDArray[Any]]:
    """The rows (n, d) of a file of features, in its order.

    Raises
    ------
    Invalid
        If it cannot be read.
    """
    with _opened(path) as (array, _):
        yield array


@contextmanager
def _opened(path: Path) -> Iterator[tuple[NDArray[Any], list[str] | None]]:
    """The rows of a file, mapped, and the names of their items, where it has any."""
    if path.suffix.lower() not in ENDINGS:
        raise Invalid(f"{path.name} is neither an .npy nor a .parquet file; save the features as one of them.")
    if not path.is_file():
        raise Invalid(f"There is no file {path}; check the name.")
    if path.suffix.lower() == ".npy":
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise Invalid(
                f"{path.name} is not an .npy file of numbers that can be read; save it again with numpy.save."
            ) from error
        yield _checked(array, path), None
        return
    with tempfile.TemporaryDirectory(prefix="features-", ignore_cleanup_errors=True) as folder:
        yield _of_parquet(path, Path(folder) / "features.npy")


def _checked(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """The array, if it is a matrix of numbers."""
    if array.ndim != 2 or not 0 < array.shape[1] <= WIDEST:
        shape = " × ".join(map(str, array.shape)) or "one number"
        raise Invalid(
            f"{path.name} has the shape {shape}; it must have one row for each item, of 1 to {WIDEST} numbers."
        )
    if array.dtype.kind not in "fiu":
        raise Invalid(f"{path.name} holds {array.dtype}; save it as float16 or float32.")
    return array


def _of_parquet(path: Path, target: Path) -> tuple[NDArray[Any], list[str] | None]:
    """A Parquet file's rows, written to ``target`` and mapped from there, and the names of their items."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
            ids, vectors = _columns(schema, path)
            array: NDArray[Any] | None = None
            names: list[str] | None = None if ids is None else []
            done = 0
            for batch in file.iter_batches(BLOCK, columns=[*([ids] if ids else []), *vectors]):
                block = _checked(_block(batch, vectors, path, done), path)
                if array is None:
                    half = block.dtype == np.float16
                    array = np.lib.format.open_memmap(
                        target, mode="w+", dtype="float16" if half else "float32", shape=(count, block.shape[1])
                    )
                if block.shape[1] != array.shape[1]:
                    raise Invalid(f"Row {done + 1:,} of {path.name} or one after it has another length than the first.")
                with np.errstate(over="ignore"):  # becomes infinite, and is refused when it is copied
                    array[done : done + len(block)] = block
                done += len(block)
                if names is not None:
                    names += [str(name) for name in batch.column(ids).to_pylist()]
    except (pa.ArrowException, OSError) as error:
        raise Invalid(f"{path.name} is not a Parquet file that can be read; write it again.") from error
    if array is None:
        raise Invalid(f"There are no rows in {path.name}; check the file.")
    return array, names


def _columns(schema: Any, path: Path) -> tuple[str | None, list[str]]:
    """The column of a Parquet file that names items, if any, and those that hold the features."""
    import pyarrow as pa

    types = {field.name: field.type for field in schema}
    words = [name for name, t in types.items() if pa.types.is_string(t) or pa.types.is_large_string(t)]
    numbers = [name for name, t in types.items() if pa.types.is_floating(t) or pa.types.is_integer(t)]
    whole = [name for name in numbers if pa.types.is_integer(types[name])]
    ids = next((name for wish in ID_NAMES for name in [*words, *whole] if name.lower() == wish), None)
    if ids is None and len(words) == 1:
        ids = words[0]
    lists = [
        name for name, t in types.items()
        if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_fixed_size_list(t)
    ]  # fmt: skip
    if len(lists) > 1:
        raise Invalid(
            f"{path.name} has several columns of lists ({', '.join(lists[:5])}); keep the one with the features."
        )
    vectors = lists or [name for name in numbers if name != ids]
    if not vectors:
        raise Invalid(f"{path.name} has no column of numbers or of lists of numbers; add the features.")
    return ids, vectors


def _block(batch: Any, vectors: list[str], path: Path, done: int) -> NDArray[Any]:
    """The features of a batch of a Parquet file: (n, d)."""
    import pyarrow as pa

    columns = [batch.column(name) for name in vectors]
    if any(column.null_count for column in columns):
        raise Invalid(f"{path.name} has empty cells among the features after row {done:,}; fill them.")
    if len(columns) == 1 and pa.types.is_nested(columns[0].type):
        values = columns[0].flatten()
        if values.null_count or len(values) % max(len(batch), 1):
            raise Invalid(
                f"{path.name} has lists of several lengths, or with gaps, after row {done:,}; make them alike."
            )
        lengths = {len(row) for row in columns[0]}
        if len(lengths) > 1:
            raise Invalid(f"{path.name} has lists of several lengths after row {done:,}; make them alike.")
        return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(batch), -1)
    return np.stack([column.to_numpy(zero_copy_only=False) for column in columns], axis=1)


def _order(
    workspace: Workspace, project_id: int, total: int, array: NDArray[Any], ids: list[str] | None, path: Path
) -> NDArray[np.intp]:
    """For each row of the items the row of the file, (total,); -1 where there is no item any more.

    Raises
    ------
    Invalid
        If an item has none.
    """
    if ids is None:
        if len(array) != total:
            raise Invalid(
                f"{path.name} has {len(array):,} rows and the project {total:,} items; give one row for each item in "
                "the order in which they came in, or a Parquet file with a column “id” that names them."
            )
        return np.arange(total)
    place = {name: row for row, name in enumerate(ids)}
    if len(place) < len(ids):
        twice = next(name for row, name in enumerate(ids) if place[name] != row)
        raise Invalid(f"{path.name} names the item “{twice}” twice; keep one row for each item.")
    order = np.full(total, -1, dtype=np.intp)
    missing: list[str] = []
    query = select(Item.row, Item.external_id).where(Item.project_id == project_id)
    for start in range(0, total, BLOCK):
        with reading(workspace.engine) as session:
            block = session.exec(query.where(col(Item.row) >= start, col(Item.row) < start + BLOCK)).all()
        for row, name in block:
            order[row] = place.get(name, -1)
            if name not in place:
                missing.append(name)
    if missing:
        raise Invalid(
            f"{path.name} has no row for {len(missing):,} of the project's items, such as “{missing[0]}”; add them."
        )
    return order


def _rows(array: NDArray[Any], order: NDArray[np.intp], dtype: str, path: Path) -> NDArray[Any]:
    """Rows of the file in some order, as they are stored; zero where there is none.

    Raises
    ------
    Invalid
        If a number is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.asarray(array[np.maximum(order, 0)]).astype(dtype)
    rows[order < 0] = 0
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        bad = int(order[int(np.argmin(finite))]) + 1
        raise Invalid(f"Row {bad:,} of {path.name} holds what is not a finite number of its precision; correct it.")
    return rows
