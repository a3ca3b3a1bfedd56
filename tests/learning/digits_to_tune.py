"""A project of digits that the tiny CLIP has never seen, in negative, which it does not know, to tune it on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from sqlmodel import col, select

from labeling import jobs
from labeling.classes import classes_of
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, Job, JobKind, Label, Source
from labeling.features.encoding import open_features
from labeling.intake.importer import import_records
from labeling.intake.records import Record
from labeling.intake.records import Source as Records
from labeling.learning import tuning_job
from labeling.learning.learner import Learner
from labeling.learning.worker import work_off
from labeling.projects import create_project
from labeling.workspace import Workspace
from tests.tiny_clip import NAMES, digit_pictures, digit_targets, held_out_rows


def quiet(_fraction: float, _message: str) -> None:
    """Progress that nobody watches."""


def negative(picture: bytes) -> bytes:
    """Black for white, which halves what the tiny CLIP knows of digits."""
    out = BytesIO()
    ImageOps.invert(Image.open(BytesIO(picture)).convert("L")).save(out, "PNG")
    return out.getvalue()


@dataclass(frozen=True)
class DigitsToTune:
    """The project, its owner, and the true class index of each item, in row order."""

    workspace: Workspace
    id: int
    owner: int
    targets: NDArray[np.int64]

    @classmethod
    def make(
        cls, workspace: Workspace, owner: int, clip: Path | str, *, items: int = 899, classes: Sequence[str] = NAMES
    ) -> "DigitsToTune":
        """Negatives of the first so many digits that the model has not seen, with features of the model in a folder."""
        made = create_project(workspace, owner, "negatives", classes, settings={"encoder": f"clip:{clip}"})
        rows = np.random.default_rng(0).permutation(held_out_rows())[:items]
        pictures = digit_pictures()
        records = [Record(f"digit-{row:04d}", read=partial(negative, pictures[row])) for row in rows]
        import_records(workspace, made, Records("image", records, len(records)), actor_id=owner)
        with reading(workspace.engine) as session:
            named = session.exec(select(Item.external_id).where(Item.project_id == made).order_by(col(Item.row))).all()
        targets = digit_targets()[[int(name.removeprefix("digit-")) for name in named]]
        project = cls(workspace, made, owner, targets)
        project.work_off(JobKind.ENCODE)
        return project

    def label(self, rows: Sequence[int], targets: Sequence[int]) -> None:
        """Labels that people agreed on: class indices of the items in some rows."""
        with writing(self.workspace.engine) as session:
            class_ids = [c.id for c in classes_of(session, self.id)]
            found = session.exec(select(Item.row, Item.id).where(Item.project_id == self.id)).all()
            items = dict(found)
            for row, target in zip(rows, targets, strict=True):
                given = {"class_id": class_ids[target], "confidence": 1.0, "source": Source.SINGLE, "answers": 1}
                session.add(Label(item_id=items[row], project_id=self.id, **given))

    def work_off(self, kind: JobKind) -> Job:
        """Perform a job, and what follows it."""
        with writing(self.workspace.engine) as session:
            job_id = jobs.request(session, self.id, kind, user_id=self.owner).id
        assert job_id is not None
        return work_off(self.workspace, job_id, quiet)

    def tune(self) -> Job:
        """Tune, and make the features of what went live."""
        return work_off(self.workspace, tuning_job.request(self.workspace, self.owner, self.id), quiet)

    def accuracy(self, learned: Sequence[int], asked: Sequence[int]) -> float:
        """Share that is right of what the default head says of the items in some rows, with the live features."""
        matrix = open_features(self.workspace, self.id)
        assert matrix is not None
        features = np.array(matrix.array())
        model = Learner(features).learn(np.array(learned), self.targets[learned])
        assert model.model is not None
        said = np.asarray(model.model.classes)[model.model.predict_proba(model.features[asked]).argmax(axis=1)]
        return float(np.mean(said == self.targets[asked]))
