"""The encoders that a project may choose from, as a page shows them: what each is, how good, what a better one needs.

The figures are those of `tests/benchmarks/results/`, from random labels with the default head.
"""

from pydantic import BaseModel

from labeling.db.engine import reading
from labeling.features.base import Kind
from labeling.features.brought import Brought
from labeling.features.encoding import ENCODERS, best_encoder, first_items, open_features
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


class EncoderChoices(BaseModel):
    """All that there are for a project's kind of item, the best first."""

    setting: str  # what the project's settings say: one of the names, or "auto"
    choices: list[EncoderChoice]
    better: str  # what more accurate features would need; empty where none are known


ABOUT = {
    "patches": "Small patches learned from the pool itself, beside the edges of each image.",
    "hog": "Where edges run in each image, and a coarse layout of its colours; nothing is learned, so it is quick.",
    "pixels": "Each image shrunk to 8 by 8 pixels; enough for drawings and other small, simple pictures.",
    "tfidf": "Words, pairs of words and letters, each weighed by how rare it is, along the pool's main directions.",
    "table": "Numbers in steps between quantiles, choices one by one, and what is missing said so.",
    "brought": "Vectors made elsewhere and brought along with `askwise features`, in an .npy or Parquet file.",
}
MEASURED = {
    "patches": "43 % right with 200 labels and 55 % with 1,000 on CIFAR-10H, photographs of 10 classes.",
    "hog": "35 % right with 200 labels and 46 % with 1,000 on CIFAR-10H; 97 % with 200 on the digits.",
    "pixels": "26 % right with 200 labels and 35 % with 1,000 on CIFAR-10H; 93 % with 200 on the digits.",
    "tfidf": "80 % right with 200 labels and 84 % with 1,000 on AG News; 67 % and 77 % on TREC.",
    "table": "97 % right with 200 labels on the breast cancer table, with 50 on the wines.",
}
BETTER: dict[Kind, str] = {
    "image": "Foundation features are far better: a linear model on CLIP ViT-B/32 is published at about 95 % on "
    "CIFAR-10 with all labels, which no encoder here comes near. CLIP comes with a later version; until then, vectors "
    "made elsewhere can be brought along with `askwise features`.",
    "text": "Sentence embeddings are better, most of all with few labels: all-MiniLM-L6-v2 is right on 82 % of AG News "
    "with 50 labels, words and letters on 76 %. Vectors made elsewhere can be brought along with `askwise features`.",
    "row": "",
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
        )
        for encoder in fitting
    ]
    return EncoderChoices(setting=setting, choices=choices, better=BETTER[best.kind] if best.kind else "")
