"""The encoders that a project may choose from, as a page shows them: what each is, how good, what it needs; which
one is at work, which are at hand, and which is on its way.

The figures are those of `tests/benchmarks/results/`, from random labels with the default head, unless they are said to
be published.
"""

from pydantic import BaseModel

from labeling import jobs
from labeling.db.engine import reading, writing
from labeling.db.schema import JobKind, JobState, Role
from labeling.features.base import Kind
from labeling.features.brought import Brought, count_rows
from labeling.features.clip import Clip
from labeling.features.encoding import ENCODERS, best_encoder, chosen_encoder, first_items, matrices_of, open_features
from labeling.features.matrix import FeatureMatrix
from labeling.features.pretrained import Pretrained, how_to_install
from labeling.features.sentences import Sentences
from labeling.features.tuned import tuned_on
from labeling.projects import settings_of
from labeling.users import require
from labeling.workspace import Workspace


class EncoderChoice(BaseModel):
    """One encoder that a project's items could have."""

    name: str  # as the setting `encoder` takes it
    about: str  # one sentence
    measured: str  # how accurate, and on what; empty where that depends on what is brought
    best: bool  # whether `auto` means this one for these items
    live: bool  # whether the model learns from its features now
    words: bool  # whether it understands words
    default: str = ""  # the weights that it has unless others are named; empty where it has none of its own
    ways: str = ""  # in which its weights can be named
    missing: str = ""  # what to do before it can be chosen; empty where it can


class KeptFeatures(BaseModel):
    """Features of the whole pool that are at hand."""

    setting: str  # what the setting `encoder` says for them
    name: str
    spec: str  # what its weights are called; empty where there are none
    rows: int
    live: bool


class EncoderChoices(BaseModel):
    """All that there are for a project's kind of item, the best that needs no download first."""

    setting: str  # what the project's settings say: one of the names, maybe with weights, or "auto"
    choices: list[EncoderChoice]
    kept: list[KeptFeatures]
    better: str  # how to come to more accurate features; empty where none are known, or they are there


class FeatureState(BaseModel):
    """Which features the model learns from, and which are being made."""

    live: str  # the encoder with its weights; empty before the first features
    coming: str  # the encoder whose features are being made; empty where none is at work
    share: float  # of them that is there, 0 to 1
    message: str  # how far, how fast, how long
    problem: str  # why the last ones did not come


ABOUT = {
    "patches": "Small patches learned from the pool itself, beside the edges of each image.",
    "hog": "Where edges run in each image, and a coarse layout of its colours; nothing is learned, so it is quick.",
    "pixels": "Each image shrunk to 8 by 8 pixels; enough for drawings and other small, simple pictures.",
    "clip": "Images as CLIP sees them, beside words: class names alone sort the pool before the first label.",
    "tfidf": "Words, pairs of words and letters, each weighed by how rare it is, along the pool's main directions.",
    "sentences": "What each text means, beside words: class names alone sort the pool before the first label.",
    "table": "Numbers in steps between quantiles, choices one by one, and what is missing said so.",
    "brought": "Vectors made elsewhere and brought along with `askwise features`, in an .npy or Parquet file.",
}
MEASURED = {
    "patches": "43 % right with 200 labels and 55 % with 1,000 on CIFAR-10H, photographs of 10 classes.",
    "hog": "35 % right with 200 labels and 46 % with 1,000 on CIFAR-10H; 97 % with 200 on the digits.",
    "pixels": "26 % right with 200 labels and 35 % with 1,000 on CIFAR-10H; 93 % with 200 on the digits.",
    "clip": "Published of the default weights: from class names alone 95.6 % right on CIFAR-10, 69.2 % on ImageNet.",
    "tfidf": "80 % right with 200 labels and 84 % with 1,000 on AG News; 67 % and 77 % on TREC.",
    "sentences": "82 % right with 50 labels and 84 % with 200 on AG News, 58 % and 69 % on TREC (all-MiniLM-L6-v2).",
    "table": "97 % right with 200 labels on the breast cancer table, with 50 on the wines.",
}
WAYS: dict[type[Pretrained], str] = {
    Clip: "ARCHITECTURE/TAG, which open_clip downloads once; a folder that open_clip has written; or "
    "ARCHITECTURE@FILE, a checkpoint of your own.",
    Sentences: "NAME, which sentence-transformers downloads once; or a folder that holds a model.",
}
FOUNDATIONS: dict[Kind, tuple[type[Pretrained], str]] = {
    "image": (
        Clip,
        "Foundation features are far better on photographs: CLIP is published to be right on 95.6 % of CIFAR-10 from "
        "class names alone, which nothing learned from a pool comes near.",
    ),
    "text": (
        Sentences,
        "Sentence embeddings are better, most of all with few labels: all-MiniLM-L6-v2 is right on 82 % of AG News "
        "with 50 labels, words and letters on 76 %.",
    ),
}


def encoder_choices(workspace: Workspace, actor_id: int, project_id: int) -> EncoderChoices:
    """What a project's items could be told by.

    Raises
    ------
    NotFound
        If there is no such project, or the acting user is not a member of it.
    """
    with reading(workspace.engine) as session:
        setting = settings_of(require(session, actor_id, project_id)).encoder
    best = best_encoder(first_items(workspace, project_id))
    matrix = open_features(workspace, project_id)
    fitting = [best, *(e for e in ENCODERS.values() if e.kind in (best.kind, Brought.kind) and e is not best)]
    choices = [
        EncoderChoice(
            name=encoder.name,
            about=ABOUT[encoder.name],
            measured=MEASURED.get(encoder.name, ""),
            best=encoder is best,
            live=matrix is not None and matrix.layout.encoder == encoder.name,
            words=issubclass(encoder, Pretrained),
            default=encoder.default if issubclass(encoder, Pretrained) else "",
            ways=WAYS[encoder] if issubclass(encoder, Pretrained) else "",
            missing=_missing(encoder) if issubclass(encoder, Pretrained) else "",
        )
        for encoder in fitting
    ]
    return EncoderChoices(
        setting=setting, choices=choices, kept=_kept(workspace, project_id, matrix),
        better=_better(best.kind, setting, matrix),
    )  # fmt: skip


def feature_state(workspace: Workspace, actor_id: int, project_id: int) -> FeatureState:
    """Which features a project's model learns from, and how far others are.

    Raises
    ------
    NotFound
        If there is no such project, or the acting user is not a member of it.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
    job = jobs.newest(workspace, actor_id, project_id, JobKind.ENCODE)
    matrix, total = open_features(workspace, project_id), count_rows(workspace, project_id)
    state = FeatureState(live=_named(matrix) if matrix else "", coming="", share=0.0, message="", problem="")
    if job is None or not total:
        return state
    if job.finished is not None:
        state.problem = job.error
        return state
    chosen = chosen_encoder(workspace, project_id)
    rows = max((m.rows for m in matrices_of(workspace, project_id) if chosen.made(m)), default=0)
    state.coming = f"{chosen.kind.name} ({chosen.spec})" if chosen.spec else chosen.kind.name
    state.share = min(1.0, rows / total)
    said = job.message if job.state is JobState.RUNNING else ""
    state.message = said or f"{rows:,} of {total:,} items have features"
    return state


def encode_again(workspace: Workspace, actor_id: int, project_id: int) -> None:
    """Try once more to make the features that a project's settings name.

    Raises
    ------
    NotFound, NotAllowed
        If the acting user is not an owner of the project.
    """
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
        jobs.request(session, project_id, JobKind.ENCODE)


def _missing(kind: type[Pretrained]) -> str:
    return "" if kind.installed() else f"It is not installed: {how_to_install(kind.extra)}."


def _named(matrix: FeatureMatrix) -> str:
    weights = _weights(matrix)
    return f"{matrix.layout.encoder} ({weights})" if weights else matrix.layout.encoder


def _weights(matrix: FeatureMatrix) -> str:
    """What to call the weights of an encoder; nothing where it has none."""
    about = tuned_on(matrix)
    if about is None:
        return matrix.spec
    return f"{about.base}, tuned on {len(about.rows):,} labels"


def _kept(workspace: Workspace, project_id: int, live: FeatureMatrix | None) -> list[KeptFeatures]:
    """The newest of each encoder that has a row for every item, the newest first."""
    total = count_rows(workspace, project_id)
    whole = [m for m in matrices_of(workspace, project_id) if m.rows and m.rows >= total]
    found: dict[str, KeptFeatures] = {}
    for matrix in sorted(whole, key=lambda m: m.layout.created, reverse=True):
        name, setting = matrix.layout.encoder, matrix.setting
        at_work = live is not None and matrix.version == live.version
        if setting not in found or at_work:
            weights = _weights(matrix)
            found[setting] = KeptFeatures(setting=setting, name=name, spec=weights, rows=matrix.rows, live=at_work)
    return list(found.values())


def _better(kind: Kind | None, setting: str, live: FeatureMatrix | None) -> str:
    """Why and how to come to foundation features; nothing where they are chosen, or the user's own are at work."""
    if kind not in FOUNDATIONS:
        return ""
    encoder, why = FOUNDATIONS[kind]
    if setting.partition(":")[0] == encoder.name or (live and live.layout.encoder in (encoder.name, Brought.name)):
        return ""
    return f"{why} " + (
        f"Choose “{encoder.name}”." if encoder.installed() else f"To get it, {how_to_install(encoder.extra)}."
    )
