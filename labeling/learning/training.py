"""One round of learning: labels to head, head to ranking, both published in one step or not at all."""

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, delete, func, insert, select, update
from threadpoolctl import threadpool_limits

import labeling
from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import Item, Job, JobKind, JobState, ModelState, ModelVersion, QueueEntry, Ranking
from labeling.errors import Invalid
from labeling.features.encoding import open_features
from labeling.features.matrix import FeatureMatrix
from labeling.features.prior import PoolPrior, View, current_prior, open_view
from labeling.features.tuned import unseen
from labeling.features.words import embed_words
from labeling.learning.assessment import Fit, assess, is_due
from labeling.learning.choice import Choice, choose
from labeling.learning.head import PLAIN_STRENGTH, LinearHead, about_head, fit_head
from labeling.learning.keywords import keywords_of
from labeling.learning.predictions import PoolPredictions, pool_predictions, predict_pool, prune, what_changed
from labeling.learning.ranking import Ranked, rank_pool
from labeling.learning.snapshot import Snapshot, ground_of, take_snapshot
from labeling.learning.versions import live_model
from labeling.learning.zero_shot import (
    Words,
    choose_with_words,
    fit_like,
    words_of,
    zero_shot_head,
)
from labeling.workspace import Workspace

MANY_NUMBERS = 10**7  # in a feature matrix: from here on more threads help
FEWEST_WEIGHED = 20  # labels
ORPHAN_SECONDS = 600  # a younger head may be another worker's, about to be published


@dataclass(frozen=True)
class Fitted:
    """A head, how it sees the features (None: as they are), how it came about, and how to make others like it."""

    head: LinearHead
    view: View | None
    choice: Choice
    seed: int
    seconds: float
    fit: Fit
    zero_shot: LinearHead | None = None  # what the words for the classes say, in the same view


def learn(workspace: Workspace, job: Job) -> None:
    """Run a training job: fit, rank the whole pool, publish. The last good model version stays live where the
    labels admit no new one, and the job says why.
    """
    matrix = open_features(workspace, job.project_id)
    if matrix is None:
        with writing(workspace.engine) as session:
            jobs.finish(session, job, message="Waiting for the first features.")
        return
    snapshot = take_snapshot(workspace, job.project_id, matrix.rows)
    live = live_model(workspace, job.project_id)
    words, trouble = _words_of(matrix, snapshot)
    hindrance = _hindrance(snapshot) if words is None else ""
    # On small matrices the threads of linear algebra cost more than they bring, most of all on a busy machine.
    with threadpool_limits(1):
        fitted = None if hindrance else _fit(matrix, snapshot, live, words)
    with threadpool_limits(1 if matrix.rows * matrix.width < MANY_NUMBERS else jobs.CORES):
        head, view = (fitted.head, fitted.view) if fitted else _last_good(workspace, live, snapshot, matrix)
        if head is None:
            view = _view_of(matrix, snapshot, Choice())
        features = matrix.array() if view is None else view.of(matrix)
        voters = [fitted.zero_shot] if fitted and fitted.zero_shot else []
        unaware = _without_gold(fitted, features, snapshot) if fitted else None
        ranked = rank_pool(features, snapshot, head, seed=snapshot.annotation_seq, voters=voters, without_gold=unaware)
        beliefs = predict_pool(features, fitted.head, snapshot.class_ids, snapshot.open_rows) if fitted else None
        trust: dict[str, Any] = {}
        if fitted and beliefs and is_due(len(snapshot.targets), live.labels if live else 0):
            fresh = unseen(matrix, snapshot.project_id, snapshot.labeled)
            trust = assess(features[snapshot.labeled], snapshot.targets, fitted.fit, beliefs, fresh)
    used = live.id if fitted is None and head is not None and live is not None else None
    _publish(workspace, job, snapshot, matrix, fitted, beliefs, trust, used, ranked, f"{trouble} {hindrance}".strip())
    prune(workspace, job.project_id)


def sweep_heads(workspace: Workspace) -> None:
    """Remove the heads that no model version names: a worker was killed between writing and publishing them."""
    with reading(workspace.engine) as session:
        named = set(session.exec(select(ModelVersion.path)).all())
    for path in workspace.head(".").glob("*"):
        stem, _, kind = path.name.partition(".")
        whole = f"{stem}.npz" in named and "partial" not in kind
        if not whole and path.stat().st_mtime < time.time() - ORPHAN_SECONDS:
            path.unlink(missing_ok=True)


def _hindrance(snapshot: Snapshot) -> str:
    """Why these labels admit no model, in plain words; empty when they do."""
    if len(snapshot.targets) == 0:
        return "The model starts learning with the first labels of two classes."
    if len(np.unique(snapshot.targets)) == 1:
        name = snapshot.class_names[int(snapshot.targets[0])]
        return f"Every label so far is “{name}”; the model learns as soon as there is a second class."
    return ""


def _words_of(matrix: FeatureMatrix, snapshot: Snapshot) -> tuple[Words | None, str]:
    """The words for the classes, where they count; or why they cannot be had."""
    classes = list(zip(snapshot.class_names, snapshot.class_prompts, strict=True))
    try:
        return words_of(matrix, snapshot.settings, classes, read=embed_words), ""
    except Invalid as error:  # weights that cannot be had, above all
        return None, str(error)


def _last_good(
    workspace: Workspace, live: ModelVersion | None, snapshot: Snapshot, matrix: FeatureMatrix
) -> tuple[LinearHead | None, View | None]:
    """The live version's head, as far as it fits today's features and classes, and its view of them."""
    if live is None or live.path is None or live.feature_version != matrix.version:
        return None, None
    path = workspace.head(live.path)
    about = about_head(path)
    head = LinearHead.load(path).for_classes(about["class_ids"], snapshot.class_ids)
    return head, open_view(matrix, *about["view"]) if about.get("view") else None


def _view_of(matrix: FeatureMatrix, snapshot: Snapshot, choice: Choice) -> View | None:
    return View(*current_prior(matrix), choice.power) if snapshot.settings.head == "default" else None


def _fit(matrix: FeatureMatrix, snapshot: Snapshot, live: ModelVersion | None, words: Words | None) -> Fitted:
    began = time.perf_counter()
    rows, targets, seed = np.asarray(matrix.array()[snapshot.labeled]), snapshot.targets, snapshot.annotation_seq
    if snapshot.settings.head == "logistic":
        plain = partial(fit_head, strength=PLAIN_STRENGTH)
        return Fitted(
            _fit_softly(plain, rows, snapshot),
            None,
            Choice(0.0, PLAIN_STRENGTH),
            seed,
            time.perf_counter() - began,
            plain,
        )
    seen_before = live is not None and live.feature_version == matrix.version  # of other features it says nothing
    before = Choice(**live.hyperparameters) if live is not None and seen_before else Choice()
    _, prior = current_prior(matrix)
    if words is None:
        choice = choose(lambda power: prior.see(rows, power), targets, before, seed=seed)
    else:
        choice = choose_with_words(words, prior, matrix.array(), snapshot.labeled, targets, before, seed=seed)
    fit = _fit_as_chosen(choice, prior, words)
    zero_shot = zero_shot_head(words.see(prior, choice.power)) if words else None
    head = _fit_softly(fit, prior.see(rows, choice.power), snapshot)
    view = _view_of(matrix, snapshot, choice)
    return Fitted(head, view, choice, seed, time.perf_counter() - began, fit, zero_shot)


def _fit_softly(fit: Fit, rows: NDArray[Any], snapshot: Snapshot) -> LinearHead:
    """A head of all labels; where the project wants that, of the classes that each may be, as likely as they are."""
    soft = snapshot.soft
    if soft is None:
        return fit(rows, snapshot.targets)
    return fit(rows[soft.places], soft.classes, weights=soft.weights)


def _fit_as_chosen(choice: Choice, prior: PoolPrior, words: Words | None) -> Fit:
    """What makes heads of rows as the choice's power of the prior sees them."""
    if words is None:
        return partial(fit_head, strength=choice.strength)
    return fit_like(choice, words.see(prior, choice.power))


def _without_gold(fitted: Fitted, features: Any, snapshot: Snapshot) -> LinearHead | None:
    """A head of the labels of all but the gold items; None where it would be no other, or cannot be had.

    People who only confirm suggestions are found by gold items as long as these are as often wrong as elsewhere.
    """
    kept = ~np.isin(snapshot.labeled, snapshot.gold_rows)
    if kept.all() or len(np.unique(snapshot.targets[kept])) < 2:
        return None
    return fitted.fit(np.asarray(features[snapshot.labeled[kept]]), snapshot.targets[kept])


def refitting(
    workspace: Workspace, matrix: FeatureMatrix, snapshot: Snapshot, live: ModelVersion
) -> tuple[Fit, NDArray[Any]]:
    """What makes heads like the live version's own, and the labeled rows (l, k) as they see them."""
    rows = np.asarray(matrix.array()[snapshot.labeled])
    choice = Choice(**live.hyperparameters)
    if snapshot.settings.head == "logistic":
        return partial(fit_head, strength=PLAIN_STRENGTH), rows
    _, prior = current_prior(matrix)
    words, _ = _words_of(matrix, snapshot)
    return _fit_as_chosen(choice, prior, words), prior.see(rows, choice.power)


def _publish(
    workspace: Workspace,
    job: Job,
    snapshot: Snapshot,
    matrix: FeatureMatrix,
    fitted: Fitted | None,
    beliefs: PoolPredictions | None,
    trust: dict[str, Any],
    model_id: int | None,
    ranked: Ranked,
    hindrance: str,
) -> None:
    """Make head, model version, ranking and queue live together. A job that was taken away publishes nothing.

    `model_id` is the version that the ranking was made with where no new one was fitted.
    """
    path: Path | None = None
    metrics: dict[str, Any] = {}
    if fitted is not None and beliefs is not None:
        path = workspace.head(f"project-{snapshot.project_id}-{job.id}-{job.worker_id}.npz")
        about: dict[str, object] = {
            "class_ids": snapshot.class_ids,
            "feature_version": matrix.version,
            "view": fitted.view and [fitted.view.name, fitted.view.power],
            "labels": len(snapshot.targets),
        }
        fitted.head.save(path, about)
        if known := keywords_of(matrix, fitted.head, fitted.view, snapshot.class_ids):
            known.save(path)
        beliefs.save(path)
        before = live_model(workspace, snapshot.project_id)
        metrics = {**what_changed(pool_predictions(workspace, before), beliefs), **trust}
    with writing(workspace.engine) as session:
        current = session.get(Job, job.id)
        if current is None or current.state is not JobState.RUNNING or current.worker_id != job.worker_id:
            return
        if fitted is not None and path is not None:
            model_id = _new_version(session, snapshot, matrix, fitted, path.name, metrics)
        ranking = Ranking(
            project_id=snapshot.project_id,
            model_version_id=model_id,
            strategy=snapshot.settings.strategy,
            phase=ranked.phase,
            annotation_seq=snapshot.annotation_seq,
            candidates=ranked.candidates,
        )
        session.add(ranking)
        session.flush()
        of_project = select(Ranking.id).where(Ranking.project_id == snapshot.project_id)
        session.exec(delete(QueueEntry).where(col(QueueEntry.ranking_id).in_(of_project)))
        if ranked.entries:
            rows = [{"ranking_id": ranking.id, **entry} for entry in ranked.entries]
            session.connection().execute(insert(QueueEntry), rows)
        if _is_weighed(session, snapshot):
            jobs.request(session, snapshot.project_id, JobKind.WEIGH)
        jobs.finish(session, job, message=hindrance)


def _is_weighed(session: Session, snapshot: Snapshot) -> bool:
    """Whether there is something to weigh, items that several people answered or labels that a model can doubt, and
    something new: answers, classes, or whose answers count.
    """
    several = select(Item.id).where(Item.project_id == snapshot.project_id, Item.answers >= 2).limit(1)
    if len(snapshot.targets) < FEWEST_WEIGHED and session.exec(several).first() is None:
        return False
    last = jobs.latest(session, snapshot.project_id, JobKind.WEIGH)
    known = last.report if last else {}
    moved = known.get("ground") != ground_of(session, snapshot.project_id)
    return known.get("seq", -1) < snapshot.annotation_seq or moved or not known.get("held_out")


def _new_version(
    session: Session,
    snapshot: Snapshot,
    matrix: FeatureMatrix,
    fitted: Fitted,
    path: str,
    metrics: dict[str, Any],
) -> int:
    mine = col(ModelVersion.project_id) == snapshot.project_id
    session.exec(
        update(ModelVersion).where(mine, col(ModelVersion.state) == ModelState.LIVE).values(state=ModelState.RETIRED)
    )
    newest = session.exec(select(func.max(ModelVersion.number)).where(mine)).one()
    first = 1 if len(snapshot.targets) else 0  # version 0 is the one that no label went into
    version = ModelVersion(
        project_id=snapshot.project_id,
        number=first if newest is None else newest + 1,
        state=ModelState.LIVE,
        encoder=matrix.setting,
        feature_version=matrix.version,
        annotation_seq=snapshot.annotation_seq,
        annotation_hash=snapshot.annotation_hash,
        labels=len(snapshot.targets),
        code_version=labeling.__version__,
        seed=fitted.seed,
        path=path,
        seconds=fitted.seconds,
        hyperparameters=asdict(fitted.choice),
        metrics=metrics,
    )
    session.add(version)
    session.flush()
    assert version.id is not None
    return version.id
