"""Model versions: which one is live."""

from sqlmodel import Session, col, select

from labeling.db.engine import reading
from labeling.db.schema import ModelState, ModelVersion
from labeling.workspace import Workspace


def live_model(workspace: Workspace, project_id: int) -> ModelVersion | None:
    """The project's live model version."""
    with reading(workspace.engine) as session:
        return find_live(session, project_id)


def find_live(session: Session, project_id: int) -> ModelVersion | None:
    """The project's live model version, in the caller's transaction."""
    query = select(ModelVersion).where(ModelVersion.project_id == project_id, ModelVersion.state == ModelState.LIVE)
    return session.exec(query.order_by(col(ModelVersion.number).desc()).limit(1)).first()
