"""What is known of an encoder that was tuned on labels (`labeling.features.tuning`): from what, and on which."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labeling.errors import Invalid
from labeling.features.matrix import FeatureMatrix

ABOUT_FILE = "tuning.json"  # beside its weights


@dataclass(frozen=True)
class About:
    """What is known of a tuned encoder, beside its weights.

    Attributes
    ----------
    base : str
        Spec of the weights that it was tuned from.
    project_id : int
    rows : list of int
        The items of that project, by their rows, whose labels it has seen.
    """

    base: str
    project_id: int
    rows: list[int]


def tuned_on(matrix: FeatureMatrix) -> About | None:
    """What is known of the tuned encoder that made a matrix; None where no such encoder made it.

    Raises
    ------
    Invalid
        If the file that says so is damaged.
    """
    path = matrix.home / Path(matrix.spec).expanduser() / ABOUT_FILE
    if not path.is_file():
        return None
    try:
        return About(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise Invalid(f"What is known of the tuned encoder at {path} is damaged; choose another encoder.") from error


def unseen(matrix: FeatureMatrix, project_id: int, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether the encoder of a matrix was not tuned on the labels of items in some rows, (l,): only these can tell how
    good it is.
    """
    about = tuned_on(matrix)
    seen = about.rows if about is not None and about.project_id == project_id else []
    return np.asarray(~np.isin(rows, seen))
