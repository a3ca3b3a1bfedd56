"""What a replay needs: features and the class of each, of a project or of a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlmodel import col, func, select

from labeling.classes import classes_of, is_choice, stands_for
from labeling.db.engine import reading
from labeling.db.schema import Item, Label, Role
from labeling.errors import Invalid
from labeling.features.encoding import open_features
from labeling.features.words import known_words
from labeling.learning.zero_shot import words_of
from labeling.projects import settings_of
from labeling.users import require
from labeling.workspace import Workspace

FEWEST = 50  # labeled items: a third is held out, and what remains must be more than one batch
FILES = {".npz", ".csv"}

Oracle = Literal["labels", "known"]
ORACLES: dict[Oracle, str] = {
    "labels": "the labels that people gave",
    "known": "the classes that came with the items",
}


@dataclass(frozen=True)
class LabeledSet:
    """What a replay is of.

    Attributes
    ----------
    features : (n, d)
    targets : (n,)
        What an oracle would answer: class indices, or names.
    about : str
        Whose answers they are.
    words : (k, d) or None
        What stands for each of the classes that are answered, in ascending order, where the project has words.
    """

    features: NDArray[Any]
    targets: NDArray[Any]
    about: str
    words: NDArray[Any] | None = None


def count_answers(workspace: Workspace, actor_id: int, project_id: int) -> dict[Oracle, int]:
    """How many items of a project have a label, and how many came with a class."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        labels = select(func.count()).select_from(Label).where(Label.project_id == project_id)
        known = select(func.count()).where(Item.project_id == project_id, col(Item.known_class_id).is_not(None))
        return {"labels": session.exec(labels).one(), "known": session.exec(known).one()}


def choose_oracle(counts: dict[Oracle, int]) -> Oracle:
    """People's labels where there are enough, else the classes that came with the items where these are enough."""
    return "known" if counts["labels"] < FEWEST <= counts["known"] else "labels"


def of_project(workspace: Workspace, actor_id: int, project_id: int, oracle: Oracle) -> LabeledSet:
    """The items of a project that have a label (or came with a class) and features.

    Raises
    ------
    NotFound, NotAllowed
        If the acting user is no expert of the project.
    Invalid
        If they are too few.
    """
    matrix = open_features(workspace, project_id)
    features = np.empty((0, 0)) if matrix is None else matrix.array()
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id, Role.EXPERT)
        name, settings = project.name, settings_of(project)
        classes = classes_of(session, project_id)
        described = [(c.name, c.prompts) for c in classes if is_choice(c)]
        choosable = {c.id: i for i, c in enumerate(filter(is_choice, classes))}
        index = {class_id: choosable[last] for class_id, last in stands_for(classes).items() if last in choosable}
        answer = Label.class_id if oracle == "labels" else Item.known_class_id
        query = select(Item.row, answer).where(Item.project_id == project_id, Item.row < len(features))
        if oracle == "labels":
            query = query.join(Label, col(Label.item_id) == Item.id)
        answered = session.exec(query.order_by(col(Item.row))).all()
    rows = np.array([(row, index[class_id]) for row, class_id in answered if class_id in index], dtype=np.intp)
    at, targets = rows.reshape(-1, 2).T
    require_enough(len(targets), f"“{name}”")
    said = None if matrix is None else words_of(matrix, settings, described, read=known_words)
    words = None if said is None else said.vectors[np.unique(targets)]
    # A copy: the matrix on disk may grow, and a replay reads the same rows again and again.
    return LabeledSet(np.array(features[at]), targets, f"{len(at):,} items with {ORACLES[oracle]}", words)


def of_file(path: Path) -> LabeledSet:
    """A labeled set in a file: arrays `features` and `targets` (or `labels`) of an `.npz`, never pickled; or a `.csv`
    with a column `label` and numbers in all others.

    Raises
    ------
    Invalid
        If the file is missing or is no such thing, or holds too few labels.
    """
    if path.suffix not in FILES:
        raise Invalid(f"{path.name} is neither an .npz nor a .csv file.")
    try:
        features, targets = (_of_npz if path.suffix == ".npz" else _of_csv)(path)
    except FileNotFoundError as error:
        raise Invalid(f"There is no file {path}.") from error
    except (OSError, ValueError, BadZipFile) as error:
        raise Invalid(f"{path.name} cannot be read: {error}") from error
    if len(features) != len(targets):
        raise Invalid(f"{path.name} has {len(features)} rows of features, but {len(targets)} labels.")
    require_enough(len(targets), path.name)
    return LabeledSet(features, targets, f"{len(targets):,} rows of {path.name}")


def require_enough(count: int, name: str) -> None:
    """Say what is missing where too few of `name`'s items are labeled for a replay."""
    if count < FEWEST:
        raise Invalid(
            f"{name} has {count} labeled {'item' if count == 1 else 'items'} and a simulation needs {FEWEST}: it hides "
            f"labels that are there and asks for them again. Label {FEWEST - count} more, or import items whose "
            "folders name their classes."
        )


def _of_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        labels = next((name for name in ("targets", "labels") if name in arrays.files), None)
        if "features" not in arrays.files or labels is None:
            there = ", ".join(arrays.files) or "nothing"
            raise Invalid(f"{path.name} needs the arrays “features” and “targets”; it has {there}.")
        return arrays["features"], arrays[labels]


def _of_csv(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    table = pd.read_csv(path)
    if "label" not in table:
        raise Invalid(f"{path.name} needs a column “label”, and numbers in all others.")
    features = table.drop(columns="label")
    words = list(features.select_dtypes(exclude="number").columns)
    if words or features.empty:
        raise Invalid(f"{path.name} needs numbers in every column but “label”; “{words[0]}” has none." if words else
                      f"{path.name} has no column of numbers beside “label”.")  # fmt: skip
    return features.to_numpy(dtype=np.float64), table["label"].to_numpy()
