"""The trained model at work: the live model version's class for what is in no project."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.classes import classes_of
from labeling.db.engine import reading
from labeling.db.schema import Role
from labeling.errors import Invalid, NotFound
from labeling.features.base import KIND_WORDS, Content, Encoder
from labeling.features.brought import Brought, opened_features
from labeling.features.encoding import encoder_of, open_version
from labeling.features.prior import View, open_view
from labeling.intake.formats import is_place, suffix_format
from labeling.intake.images import ImageOpener
from labeling.intake.records import Reading, Record, Refused, Source
from labeling.intake.sources import open_source
from labeling.learning.head import LinearHead, about_head
from labeling.learning.versions import find_live
from labeling.users import require
from labeling.workspace import Workspace

BATCH = 200

Named = tuple[dict[str, Any], Content | Invalid]  # what an answer begins with, and what is to be labeled or why not


def predict(workspace: Workspace, actor_id: int, project_id: int, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Label files with the project's live model.

    Parameters
    ----------
    files
        Images; or, of any kind of project, whatever can be imported: folders and archives of images, tables of texts
        or rows. Of a project whose features were brought along: files of features made in the same way.

    Yields
    ------
    dict
        `file`, `class`, `confidence` (0 to 1), `probabilities` by class name and `model_version`; `item` too where a
        file holds several, and `line` where it has lines; `error`, one sentence, in the place of the class where
        something cannot be opened.

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
    try:
        matrix = open_version(workspace, project_id, model.feature_version)
    except NotFound:
        raise Invalid("The features that the model was trained on are gone; wait for the next model version.") from None
    path = workspace.head(model.path)
    head, about = LinearHead.load(path), about_head(path)
    view = open_view(matrix, *about["view"]) if about.get("view") else None
    known = [names[about["class_ids"][int(c)]] for c in head.classes]
    trained = _Trained(head, view, known, model.number)
    encoder = encoder_of(matrix)
    return _of_features(files, encoder.width, trained) if isinstance(encoder, Brought) else _of(files, encoder, trained)


@dataclass(frozen=True)
class _Trained:
    """A model version, ready to answer."""

    head: LinearHead
    view: View | None
    classes: list[str]
    number: int

    def answers(self, features: NDArray[np.floating[Any]]) -> Iterator[dict[str, Any]]:
        """What it says of rows (n, d) in the encoder's space."""
        seen = features if self.view is None else self.view.prior.see(features, self.view.power)
        for chances in self.head.predict_proba(seen):
            best = int(chances.argmax())
            yield {
                "class": self.classes[best],
                "confidence": float(chances[best]),
                "probabilities": dict(zip(self.classes, map(float, chances), strict=True)),
                "model_version": self.number,
            }


def _of(files: Sequence[Path], encoder: Encoder, trained: _Trained) -> Iterator[dict[str, Any]]:
    with ImageOpener() as opener:
        everything = (named for path in files for named in _contents(path, encoder, opener))
        while batch := list(islice(everything, BATCH)):
            contents = [content for _, content in batch if isinstance(content, Content)]
            answers = trained.answers(encoder.encode(contents)) if contents else iter(())
            for begin, content in batch:
                yield begin | (next(answers) if isinstance(content, Content) else {"error": str(content)})


def _contents(path: Path, encoder: Encoder, opener: ImageOpener) -> Iterator[Named]:
    """What a file holds, under its name."""
    begin = {"file": str(path)}
    try:
        if not path.exists():
            raise Invalid("There is no such file or folder; check the name.")
        if encoder.kind == "image" and not is_place(path) and suffix_format(path.name) is None:
            yield begin, Content(image=opener.open(path).data)
            return
        with open_source(path) as source:
            other = source.kind != encoder.kind
            if not other:
                yield from _records(begin, source.records, opener)
        if other:
            with open_source(path, _as_rows(source, encoder, path)) as again:
                yield from _records(begin, again.records, opener)
    except Invalid as error:
        yield begin, error
    except OSError as error:
        yield begin, Invalid(f"The file cannot be read ({error.strerror}).")


def _as_rows(source: Source, encoder: Encoder, path: Path) -> Reading:
    """How a table is read whose columns were taken for something else than the fields of rows."""
    if encoder.kind != "row" or not source.columns:
        wanted = KIND_WORDS[encoder.kind] if encoder.kind else "items"
        raise Invalid(f"{path.name} holds {KIND_WORDS[source.kind]}, and this project's model labels {wanted}.")
    return source.reading.model_copy(update={"roles": dict.fromkeys(source.columns, "field")})


def _records(begin: dict[str, Any], records: Iterable[Record | Refused], opener: ImageOpener) -> Iterator[Named]:
    for record in records:
        line = {} if record.line is None else {"line": record.line}
        if isinstance(record, Refused):
            yield {**begin, "item": record.name, **line}, Invalid(record.why)
            continue
        begun = {**begin, "item": record.external_id, **line}
        try:
            yield begun, _content(record, opener)
        except Invalid as error:
            yield begun, error


def _content(record: Record, opener: ImageOpener) -> Content:
    if record.read is not None:
        return Content(image=opener.open(record.read()).data)
    return Content(text=record.text, fields=record.fields)


def _of_features(files: Sequence[Path], width: int, trained: _Trained) -> Iterator[dict[str, Any]]:
    """Answers for rows of features; their numbers, from 0, are what they are called."""
    for path in files:
        try:
            with opened_features(path) as array:
                if array.shape[1] != width:
                    raise Invalid(f"{path.name} has {array.shape[1]:,} numbers to a row and the project's {width:,}.")
                for start in range(0, len(array), BATCH):
                    rows = np.asarray(array[start : start + BATCH], dtype=np.float32)
                    for row, answer in enumerate(trained.answers(rows), start=start):
                        yield {"file": str(path), "item": str(row), **answer}
        except Invalid as error:
            yield {"file": str(path), "error": str(error)}
