"""The digits: ids, classes and pixels are exactly scikit-learn's."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sqlmodel import col, select

from labeling.db.engine import reading, writing
from labeling.db.schema import Item, LabelClass, Project
from labeling.features.encoding import encode_project
from labeling.intake.demo import digits_folder, digits_source
from labeling.intake.importer import import_records
from labeling.intake.sources import open_source
from labeling.workspace import Workspace


def test_the_imported_digits_are_scikit_learns(workspace: Workspace, project: int, owner: int):
    digits = load_digits()
    report = import_records(workspace, project, digits_source(), actor_id=owner)
    assert (report.added, report.duplicates, report.refused_count) == (1797, 0, 0)
    with reading(workspace.engine) as session:
        items = session.exec(select(Item).where(Item.project_id == project).order_by(col(Item.row))).all()
        classes = session.exec(select(LabelClass).order_by(col(LabelClass.position))).all()
    assert [item.external_id for item in items] == [f"digits-{i:04d}" for i in range(1797)]
    assert [item.row for item in items] == list(range(1797))
    assert [c.name for c in classes] == list("0123456789")
    names = {c.id: c.name for c in classes}
    assert [names[item.known_class_id or 0] for item in items] == [str(target) for target in digits.target]
    pixels = np.stack([np.asarray(Image.open(workspace.media(item.content_hash))) for item in items])
    assert (pixels == np.rint(digits.images * 255 / 16)).all()

    with writing(workspace.engine) as session:
        session.get_one(Project, project).settings = {"encoder": "pixels"}
    matrix = encode_project(workspace, project)
    assert matrix is not None and (matrix.rows, matrix.width) == (1797, 64)
    assert np.abs(matrix.array() - digits.data / 16).max() <= 0.5 / 255 + 1e-6


def test_the_digits_as_a_folder_are_the_same_images(workspace: Workspace, project: int, owner: int, tmp_path: Path):
    digits_folder(tmp_path / "digits")
    assert sorted(folder.name for folder in (tmp_path / "digits").iterdir()) == list("0123456789")
    assert len(list((tmp_path / "digits").glob("*/*.png"))) == 1797
    import_records(workspace, project, digits_source(), actor_id=owner)
    with open_source(tmp_path / "digits") as source:
        again = import_records(workspace, project, source, actor_id=owner)
    assert (again.added, again.duplicates, again.refused_count) == (0, 1797, 0)
