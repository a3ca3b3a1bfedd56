"""Classes and settings while people work, and items that are nearly the same."""

from typing import Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from labeling import classes, projects
from labeling.annotation import merging, splitting
from labeling.classes import ClassChanges, ClassDetail
from labeling.db.values import Id
from labeling.intake.near_duplicates import NearDuplicates, read_near_duplicates
from labeling.projects import Settings
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace


class Classes(BaseModel):
    """The classes of a project in their order, retired and merged ones too."""

    classes: list[ClassDetail]


class Order(BaseModel):
    """Classes in the order in which they are to be shown; those that are not named follow."""

    class_ids: list[Id] = Field(default=[], max_length=10_000)


class Merge(BaseModel):
    """The class that another one is to stand for."""

    into: Id


class Split(BaseModel):
    """The classes that are to take the place of one."""

    parts: list[str] = Field(max_length=1_000)


class SettingsView(BaseModel):
    """A project's settings and guidelines."""

    settings: Settings
    guidelines: str


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""

    @api.get("/projects/{project_id}/classes")
    def list_classes(actor: Actor, project_id: Id) -> Classes:
        """The classes in their order, retired and merged ones too, with how many labels each has."""
        return Classes(classes=classes.list_classes(workspace, actor, project_id))

    @api.post("/projects/{project_id}/classes", status_code=201)
    def add(actor: Actor, project_id: Id, new: ClassChanges) -> ClassDetail:
        """Add a class."""
        return classes.add_class(workspace, actor, project_id, new)

    @api.post("/projects/{project_id}/classes/order")
    def order(actor: Actor, project_id: Id, asked: Order) -> Classes:
        """Put the classes into another order."""
        return Classes(classes=classes.order_classes(workspace, actor, project_id, asked.class_ids))

    @api.patch("/classes/{class_id}")
    def edit(actor: Actor, class_id: Id, changes: ClassChanges) -> ClassDetail:
        """Change a class: name, key, colour, description, example items, prompts."""
        return classes.edit_class(workspace, actor, class_id, changes)

    @api.post("/classes/{class_id}/merge")
    def merge(actor: Actor, class_id: Id, asked: Merge) -> ClassDetail:
        """Let a class count as another one from now on; it can be taken back."""
        return merging.merge_class(workspace, actor, class_id, asked.into)

    @api.post("/classes/{class_id}/split")
    def split(actor: Actor, class_id: Id, asked: Split) -> Classes:
        """Let several classes take the place of one; its items are asked anew."""
        return Classes(classes=splitting.split_class(workspace, actor, class_id, asked.parts))

    @api.post("/classes/{class_id}/retire")
    def retire(actor: Actor, class_id: Id) -> ClassDetail:
        """Retire a class: it can no longer be chosen."""
        return classes.retire_class(workspace, actor, class_id)

    @api.post("/classes/{class_id}/restore")
    def restore(actor: Actor, class_id: Id) -> ClassDetail:
        """Bring back a class that was retired, merged or split."""
        return merging.restore_class(workspace, actor, class_id)

    @api.patch("/projects/{project_id}/settings")
    def change_settings(actor: Actor, project_id: Id, changes: dict[str, Any]) -> SettingsView:
        """Change some of a project's settings; the others stay."""
        settings = projects.update_settings(workspace, actor, project_id, changes)
        guidelines = projects.read_project(workspace, actor, project_id).guidelines
        return SettingsView(settings=settings, guidelines=guidelines)

    @api.get("/projects/{project_id}/near-duplicates")
    def near_duplicates(
        actor: Actor,
        project_id: Id,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=0, le=200)] = 20,
    ) -> NearDuplicates:
        """Groups of items that are nearly the same."""
        return read_near_duplicates(workspace, actor, project_id, offset, limit)
