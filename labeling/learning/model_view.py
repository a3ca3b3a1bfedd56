"""Review with what the live model says of each item, and the labeled items of the contending classes nearest to it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlmodel import col, select

from labeling.annotation import review
from labeling.annotation.review import Belief, Neighbour, ReviewItem, ReviewQueue
from labeling.annotation.review_order import Cause
from labeling.db.engine import reading
from labeling.db.schema import Item, Label
from labeling.errors import Invalid
from labeling.features.encoding import open_features
from labeling.features.prior import open_view
from labeling.features.search import mapped, similarities
from labeling.learning.head import LinearHead, about_head
from labeling.learning.versions import live_model
from labeling.workspace import Workspace

LIKELY = 3  # classes that are told of an item, besides those that contend
COMPARED = 2_000  # labeled items of a class, the newest of them, among which the nearest are looked for


def read_review(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    *,
    cause: Cause | None = None,
    sent_back: bool = False,
    decided: bool = False,
    against: bool = False,
    offset: int = 0,
    limit: int = 20,
) -> ReviewQueue:
    """What `labeling.annotation.review.read_review` reads, with the model's view; raises as that does."""
    queue = review.read_review(
        workspace, actor_id, project_id, cause=cause, sent_back=sent_back, decided=decided, against=against,
        offset=offset, limit=limit,
    )  # fmt: skip
    return queue.model_copy(update={"items": _with_model(workspace, project_id, queue.items)})


def read_item(workspace: Workspace, actor_id: int, project_id: int, item_id: int) -> ReviewItem:
    """What `labeling.annotation.review.read_item` reads, with the model's view; raises as that does."""
    return _with_model(workspace, project_id, [review.read_item(workspace, actor_id, project_id, item_id)])[0]


def _with_model(workspace: Workspace, project_id: int, items: Sequence[ReviewItem]) -> list[ReviewItem]:
    beliefs = beliefs_about(workspace, project_id, [item.row for item in items])
    labeled = _Labeled(workspace, project_id)
    seen = []
    for item in items:
        believed = beliefs.get(item.row, [])
        said = [opinion.class_id for opinion in item.opinions] + [belief.class_id for belief in believed[:1]]
        contending = [class_id for class_id in dict.fromkeys([*said, item.better]) if class_id is not None]
        model = [each for at, each in enumerate(believed) if at < LIKELY or each.class_id in contending]
        near = {class_id: labeled.nearest(item.row, class_id) for class_id in contending}
        neighbours = {class_id: found for class_id, found in near.items() if found}
        seen.append(item.model_copy(update={"model": model, "neighbours": neighbours}))
    return seen


def beliefs_about(workspace: Workspace, project_id: int, rows: Sequence[int]) -> dict[int, list[Belief]]:
    """How likely each class is of feature rows under the live model, the likeliest first; empty where there is none.

    The model may have learned from the labels of these very items.
    """
    matrix, live = open_features(workspace, project_id), live_model(workspace, project_id)
    if matrix is None or live is None or live.path is None or live.feature_version != matrix.version:
        return {}
    path = workspace.head(live.path)
    try:
        head, about = LinearHead.load(path), about_head(path)
    except (Invalid, OSError, ValueError):
        return {}
    known = [row for row in rows if row < matrix.rows]
    if not known:
        return {}
    vectors = np.asarray(mapped(matrix)[known])
    if about.get("view"):
        name, power = about["view"]
        vectors = open_view(matrix, name, power).prior.see(vectors, power)
    likely = head.predict_proba(vectors)
    best = np.argsort(-likely, axis=1)
    ids = [about["class_ids"][int(c)] for c in head.classes]
    return {
        row: [Belief(class_id=ids[c], probability=float(chances[c])) for c in order]
        for row, chances, order in zip(known, likely, best, strict=True)
    }


class _Labeled:
    """The labeled items of a project, of each class read once."""

    def __init__(self, workspace: Workspace, project_id: int) -> None:
        self._workspace = workspace
        self._project_id = project_id
        self._matrix = open_features(workspace, project_id)
        self._of: dict[int, tuple[NDArray[np.intp], NDArray[np.floating[Any]]]] = {}

    def nearest(self, row: int, class_id: int, count: int = 3) -> list[Neighbour]:
        """Those of a class that are nearest to a feature row by cosine, without itself."""
        if self._matrix is None or row >= self._matrix.rows:
            return []
        rows, vectors = self._of_class(class_id)
        like = similarities(vectors, np.asarray(mapped(self._matrix)[row]))
        best = [at for at in np.argsort(-like, kind="stable")[: count + 1] if rows[at] != row][:count]
        near = select(Item).where(
            Item.project_id == self._project_id, col(Item.row).in_([int(rows[at]) for at in best])
        )
        with reading(self._workspace.engine) as session:
            items = {item.row: item for item in session.exec(near).all()}
        return [_neighbour(items[int(rows[at])], class_id, float(like[at])) for at in best if int(rows[at]) in items]

    def _of_class(self, class_id: int) -> tuple[NDArray[np.intp], NDArray[np.floating[Any]]]:
        if class_id not in self._of:
            assert self._matrix is not None
            labeled = select(Item.row).join(Label, col(Label.item_id) == Item.id)
            labeled = labeled.where(Label.project_id == self._project_id, Label.class_id == class_id)
            labeled = labeled.where(Item.row < self._matrix.rows).order_by(col(Label.item_id).desc()).limit(COMPARED)
            with reading(self._workspace.engine) as session:
                rows = np.sort(np.array(session.exec(labeled).all(), dtype=np.intp))
            self._of[class_id] = rows, np.asarray(mapped(self._matrix)[rows])
        return self._of[class_id]


def _neighbour(item: Item, class_id: int, similarity: float) -> Neighbour:
    assert item.id is not None
    return Neighbour(
        item_id=item.id, external_id=item.external_id,
        media_url=f"/api/v1/items/{item.id}/media" if item.media else None, text=item.text, fields=item.fields,
        class_id=class_id, similarity=similarity,
    )  # fmt: skip
