"""The trained model at work: the live model version's class for files that are in no project."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from labeling.db.engine import reading
from labeling.db.schema import Role
from labeling.errors import Invalid
from labeling.features.base import Encoder
from labeling.features.encoding import encoder_of, open_features
from labeling.features.prior import View, open_view
from labeling.intake.images import ImageOpener, OpenedImage
from labeling.learning.head import LinearHead, about_head
from labeling.learning.versions import find_live
from labeling.projects import classes_of
from labeling.users import require
from labeling.workspace import Workspace

BATCH = 200


def predict(workspace: Workspace, actor_id: int, project_id: int, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Label image files with the project's live model.

    Yields
    ------
    dict
        `file`, `class`, `confidence` (0 to 1), `probabilities` by class name and `model_version`;
        `file` and `error`, one sentence, where a file cannot be opened.

    Raises
    ------
    Invalid
        If the project has no model yet, or its model rests on features that are gone.
    NotAllowed
        If the acting user is neither expert nor owner.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.EXPERT)
        model = find_live(session, project_id)
        names = {c.id: c.name for c in classes_of(session, project_id)}
    if model is None or model.path is None:
        raise Invalid("This project has no model yet; label items of two classes first.")
    matrix = open_features(workspace, project_id)
    if matrix is None or matrix.version != model.feature_version:
        raise Invalid("The model's features have changed; wait for the next model version.")
    path = workspace.head(model.path)
    head, about = LinearHead.load(path), about_head(path)
    view = open_view(matrix, *about["view"]) if about.get("view") else None
    known = [names[about["class_ids"][int(c)]] for c in head.classes]
    return _predict(files, encoder_of(matrix), view, head, known, model.number)


def _predict(
    files: Sequence[Path], encoder: Encoder, view: View | None, head: LinearHead, known: list[str], number: int
) -> Iterator[dict[str, Any]]:
    with ImageOpener() as opener:
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            opened = [_open(opener, path) for path in batch]
            images = [image.data for image in opened if isinstance(image, OpenedImage)]
            features = encoder.encode(images)
            probabilities = iter(head.predict_proba(features if view is None else view.prior.see(features, view.power)))
            for path, image in zip(batch, opened, strict=True):
                if isinstance(image, Invalid):
                    yield {"file": str(path), "error": str(image)}
                    continue
                chances = next(probabilities)
                best = int(chances.argmax())
                yield {
                    "file": str(path),
                    "class": known[best],
                    "confidence": float(chances[best]),
                    "probabilities": dict(zip(known, map(float, chances), strict=True)),
                    "model_version": number,
                }


def _open(opener: ImageOpener, path: Path) -> OpenedImage | Invalid:
    try:
        return opener.open(path)
    except Invalid as error:
        return error
    except OSError as error:
        return Invalid(f"The file cannot be read ({error.strerror}).")
