"""CLIP tuned on a project's labels, as a job: tried on answers that it has not seen, and live only where it is better.

The labels are split into a few folds. For each, CLIP is tuned on the other folds, and the project's head is fitted to
these under the encoder as it is and under the tuned one; both answer the fold that neither has seen. Only where the
tuned one is right more often, by more than chance explains, is CLIP tuned on all of the labels and takes over.

A tuned encoder is always made from weights that have seen no label, so that tuning again does not pile up; and where
the live encoder is a tuned one itself, it is compared on those labels alone that it has not seen.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from sqlmodel import Session, col, func, select
from threadpoolctl import threadpool_limits

from labeling import jobs
from labeling.classes import choices
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, Job, JobKind, JobState, Label, Project, Role
from labeling.errors import Invalid
from labeling.features.base import Content
from labeling.features.clip import Clip
from labeling.features.encoding import open_features
from labeling.features.matrix import COUNT_FILE, FeatureMatrix
from labeling.features.pretrained import Unavailable, memory_for
from labeling.features.tuned import ABOUT_FILE, About, tuned_on, unseen
from labeling.features.tuning import PARTIAL, Tuner
from labeling.learning import tuning_trial
from labeling.learning.snapshot import Snapshot, take_snapshot
from labeling.learning.tuning_trial import Comparison
from labeling.learning.zero_shot import texts_of
from labeling.projects import change_settings, settings_of
from labeling.users import require
from labeling.workspace import Workspace

FEWEST, EACH = 200, 5  # labels in all; of a class that takes part
UNSEEN = 100  # labels that a live encoder which is tuned itself has not seen
MOST = 2_000  # labels: of more, as many are drawn by lot
LOOKING = 0.15  # of the progress bar
TELL_SECONDS = 0.2
ORPHAN_SECONDS = 600  # a younger encoder that nothing names may be another worker's, about to be published

Progress = Callable[[float, str], None]


class Report(Comparison):
    """What became of a tuning that came to its end."""

    labels: int
    classes: int
    folds: int
    seconds: float
    images_per_second: float  # through the blocks that learn, forth and back
    device: str
    base: str  # spec of the weights that it began from
    encoder: str  # setting of the tuned encoder; empty where it did not go live
    went_live: bool
    message: str


class Standing(BaseModel):
    """What a project's people see of tuning: whether it can begin, how far it is, and how the last one ended."""

    is_clip: bool  # whether the live encoder is CLIP
    labels: int
    needed: int
    hindrance: str  # why it cannot begin; empty where it can
    state: JobState | None
    progress: float
    message: str
    error: str
    finished: float | None
    report: Report | None  # of the last that came to its end


def request(workspace: Workspace, actor_id: int, project_id: int) -> int:
    """Ask for a tuning; returns the job's id.

    Raises
    ------
    Invalid
        If there are too few labels, the encoder is none that can be tuned, or a tuning is not finished yet.
    NotAllowed
        If the acting user is no owner of the project.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
    _require_ready(workspace, project_id)
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
        if any(job.kind is JobKind.TUNE for job in jobs.unfinished(session, project_id)):
            raise Invalid("A tuning of this project is not finished yet; wait for it, or stop it.")
        job = jobs.request(session, project_id, JobKind.TUNE, user_id=actor_id)
        assert job.id is not None
        return job.id


def cancel(workspace: Workspace, actor_id: int, project_id: int) -> None:
    """Stop the project's tuning, which leaves everything as it was.

    Raises
    ------
    NotAllowed
        If the acting user is no owner of the project.
    """
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
        for job in jobs.unfinished(session, project_id):
            if job.kind is JobKind.TUNE and job.id is not None:
                jobs.cancel(session, job.id)


def read_standing(workspace: Workspace, actor_id: int, project_id: int) -> Standing:
    """How tuning stands in a project."""
    job = jobs.newest(workspace, actor_id, project_id, JobKind.TUNE)
    with reading(workspace.engine) as session:
        labels, _ = _count(session, project_id)
        done = (Job.project_id == project_id, Job.kind == JobKind.TUNE, Job.state == JobState.DONE)
        last = session.exec(select(Job).where(*done).order_by(col(Job.finished).desc()).limit(1)).first()
    matrix, hindrance = open_features(workspace, project_id), ""
    try:
        _require_ready(workspace, project_id)
    except Invalid as error:
        hindrance = str(error)
    return Standing(
        is_clip=matrix is not None and matrix.layout.encoder == Clip.name,
        labels=labels,
        needed=FEWEST,
        hindrance=hindrance,
        state=job.state if job else None,
        progress=job.progress if job else 0.0,
        message=job.message if job else "",
        error=job.error if job else "",
        finished=job.finished if job else None,
        report=Report(**last.report) if last else None,
    )


def run_tuning(workspace: Workspace, job: Job, progress: Progress) -> Report:
    """Perform a tuning job: compare, and let the tuned encoder take over where it is better.

    Raises
    ------
    Invalid
        If the labels are too few, or the encoder is none that can be tuned.
    Unavailable
        If its weights cannot be had, or there is too little memory.
    Cancelled
        If the job was stopped; all is as it was.
    """
    began = time.monotonic()
    sweep_encoders(workspace)
    matrix = _live_clip(workspace, job.project_id)
    snapshot = take_snapshot(workspace, job.project_id, matrix.rows)
    labeled = _labeled(snapshot, matrix)
    progress(0.0, "Opening the model")
    with memory_for(labeled.base), threadpool_limits(jobs.CORES):
        model = Clip.open(labeled.base, workspace.root)
        if labeled.base == matrix.layout.parameters["spec"] and model.weights != matrix.layout.parameters["weights"]:
            raise Unavailable(
                f"The weights at “{labeled.base}” are not those that the features were made with; put those back, or "
                "choose the encoder once more on the Settings page."
            )
        texts = _texts(snapshot)
        words = np.stack([model.embed(of_class).mean(axis=0) for of_class in texts])
        items = _contents(workspace, job.project_id, labeled.rows)

        def looked(done: int, of: int) -> None:
            progress(LOOKING * done / of, f"{done:,} of {of:,} labeled images looked at")

        tuner = Tuner(model, items, progress=looked)
        work = _Work(tuner, labeled, words, progress)
        everything = np.arange(len(labeled.rows))
        found = tuning_trial.compare_tuned(
            np.asarray(matrix.array()[labeled.rows], dtype=np.float32),
            labeled.targets,
            lambda learned: tuner.vectors(everything, work.tune(learned)),
            words=words,
            fresh=labeled.unseen,
            head=snapshot.settings.head,
        )
        name = ""
        if found.is_better:
            about = About(labeled.base, job.project_id, [int(row) for row in labeled.rows])
            weights = work.tune(everything)
            progress(1.0, "Writing the tuned weights")
            name = tuner.save(weights, workspace.encoder("."), about)
    report = Report(
        **found.model_dump(),
        labels=len(labeled.rows),
        classes=len(np.unique(labeled.targets)),
        folds=tuning_trial.FOLDS,
        seconds=time.monotonic() - began,
        images_per_second=tuner.seen / work.seconds,
        device=model.device.type,
        base=labeled.base,
        encoder=f"clip:encoders/{name}" if name else "",
        went_live=bool(name),
        message=_in_words(found),
    )
    return _publish(workspace, job, snapshot.settings.encoder, report)


def sweep_encoders(workspace: Workspace) -> None:
    """Remove the tuned encoders that neither a project's settings nor any features name, and what is half written."""
    folder = workspace.encoder(".")
    if not folder.is_dir():
        return
    with reading(workspace.engine) as session:
        named = {settings_of(project).encoder.rpartition("/")[2] for project in session.exec(select(Project)).all()}
    for path in workspace.root.glob(f"features/*/*/{COUNT_FILE}"):
        with suppress(Invalid):
            named.add(FeatureMatrix.open(path.parent).spec.rpartition("/")[2])
    for path in folder.iterdir():
        ours = path.name.startswith(PARTIAL) or (path / ABOUT_FILE).exists()
        if ours and path.name not in named and path.stat().st_mtime < time.time() - ORPHAN_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class _Labeled:
    """What is tuned on: feature rows (l,), class indices (l,), whether the live encoder has not seen each label (l,),
    and the spec of the weights to begin from.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    unseen: NDArray[np.bool_]
    base: str


@dataclass
class _Work:
    """The tunings of one job, and how far they are."""

    tuner: Tuner
    labeled: _Labeled
    words: NDArray[np.float32]
    progress: Progress
    done: int = 0  # tunings
    seconds: float = 0.0  # that they took
    told: float = 0.0  # when progress was told last

    def tune(self, rows: NDArray[np.integer]) -> Any:
        """Weights tuned on some of the labels."""
        began = time.monotonic()

        def step(done: int, of: int) -> None:
            now = time.monotonic()
            if now - self.told < TELL_SECONDS and done < of:
                return
            self.told = now
            folds = tuning_trial.FOLDS
            share = (self.done + done / of) / (folds + 1)
            left = (self.seconds + now - began) / share * (1 - share)
            what = f"Trial {self.done + 1} of {folds}" if self.done < folds else "Tuning on all labels"
            self.progress(LOOKING + (1 - LOOKING) * share, f"{what}: {done / of:.0%}, {in_time(left)} left")

        weights = self.tuner.tune(rows, self.labeled.targets[rows], words=self.words, progress=step)
        self.seconds += time.monotonic() - began
        self.done += 1
        return weights


def in_time(seconds: float) -> str:
    """A stretch of time in the unit that fits."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _in_words(found: Comparison) -> str:
    figures = f"{found.after:.1%} right instead of {found.before:.1%} on {found.tested:,} answers that it had not seen"
    interval = f"{100 * found.low:+.1f} to {100 * found.high:+.1f} points with 90 % confidence"
    if found.is_better:
        return f"Tuned CLIP is better, {figures} ({interval}), and takes over as soon as every item has its features."
    return f"Tuned CLIP is not surely better, {figures} ({interval}), so nothing changed."


def _publish(workspace: Workspace, job: Job, encoder: str, report: Report) -> Report:
    """End the job, and let the tuned encoder take over in the same step."""
    with writing(workspace.engine) as session:
        jobs.keep(session, job, report.model_dump())  # raises where the job was stopped
        if report.went_live:
            now = settings_of(session.get_one(Project, job.project_id)).encoder
            if now == encoder:
                change_settings(session, job.user_id or 0, job.project_id, {"encoder": report.encoder})
            else:
                message = f"The encoder was changed to “{now}” meanwhile, so the tuned one did not take over."
                report = report.model_copy(update={"went_live": False, "encoder": "", "message": message})
        jobs.finish(session, job, message=report.message, report=report.model_dump())
    return report


def _count(session: Session, project_id: int) -> tuple[int, int]:
    """How many labels of classes that may take part there are, and how many such classes."""
    class_ids = [c.id for c in choices(session, project_id)]
    counted = select(func.count()).where(Label.project_id == project_id, col(Label.class_id).in_(class_ids))
    counts = [count for count in session.exec(counted.group_by(col(Label.class_id))).all() if count >= EACH]
    return sum(counts), len(counts)


def _require_ready(workspace: Workspace, project_id: int) -> None:
    """Say why a tuning cannot begin."""
    matrix = _live_clip(workspace, project_id)
    with reading(workspace.engine) as session:
        _require_enough(*_count(session, project_id))
        if tuned_on(matrix) is None:
            return
        labeled = select(Item.row).join(Label, col(Label.item_id) == Item.id).where(Item.project_id == project_id)
        rows = np.array(session.exec(labeled).all(), dtype=np.int64)
    _require_unseen(unseen(matrix, project_id, rows))


def _require_unseen(fresh: NDArray[np.bool_]) -> None:
    if (count := int(fresh.sum())) < UNSEEN:
        raise Invalid(
            f"CLIP is tuned on this project's labels already; to tune it again takes {UNSEEN} labels that it has not "
            f"seen, and there are {count:,}."
        )


def _require_enough(labels: int, classes: int) -> None:
    if labels < FEWEST or classes < 2:
        raise Invalid(
            f"Tuning takes {FEWEST} labels, of at least two classes with {EACH} each; there are {labels:,}, of "
            f"{classes:,} such {'class' if classes == 1 else 'classes'}, so label more first."
        )


def _live_clip(workspace: Workspace, project_id: int) -> FeatureMatrix:
    """The features that are learned from, if CLIP made them."""
    matrix = open_features(workspace, project_id)
    if matrix is None or matrix.layout.encoder != Clip.name:
        there = "there are no features yet" if matrix is None else f"the live encoder is “{matrix.layout.encoder}”"
        raise Invalid(f"Only CLIP can be tuned, and {there}; choose CLIP as the encoder first.")
    return matrix


def _labeled(snapshot: Snapshot, matrix: FeatureMatrix) -> _Labeled:
    """The labels to tune on, and what to begin from."""
    counts = np.bincount(snapshot.targets, minlength=1)
    taking_part = counts[snapshot.targets] >= EACH
    rows, targets = snapshot.labeled[taking_part], snapshot.targets[taking_part]
    _require_enough(len(rows), int(np.count_nonzero(counts >= EACH)))
    before, fresh = tuned_on(matrix), unseen(matrix, snapshot.project_id, rows)
    _require_unseen(fresh)
    if len(rows) > MOST:  # what the live encoder has not seen comes first: only that can tell which is better
        drawn = np.random.default_rng(snapshot.annotation_seq).random(len(rows)) + ~fresh
        taken = np.sort(np.argsort(drawn)[:MOST])
        rows, targets, fresh = rows[taken], targets[taken], fresh[taken]
    return _Labeled(rows, targets, fresh, before.base if before else str(matrix.layout.parameters["spec"]))


def _texts(snapshot: Snapshot) -> list[list[str]]:
    """The words for each class; tuning leaves their vectors as they are."""
    named = zip(snapshot.class_names, snapshot.class_prompts, strict=True)
    return [texts_of(name, prompts, snapshot.settings.templates, Clip.kind) for name, prompts in named]


def _contents(workspace: Workspace, project_id: int, rows: NDArray[np.int64]) -> list[Content]:
    """The images in some rows, ascending."""
    with reading(workspace.engine) as session:
        query = select(Item.row, Item.media).where(Item.project_id == project_id, col(Item.row).in_(rows.tolist()))
        media = {row: found for row, found in session.exec(query).all() if found is not None}
    if len(media) < len(rows):
        raise Unavailable("A labeled item has no image any more; import it again.")
    return [Content(image=workspace.media(media[int(row)])) for row in rows]
