"""Who acts, the people of a project, links by which they come in, and everybody in the workspace."""

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from labeling import accounts, invitations
from labeling.accounts import Person
from labeling.annotation import team
from labeling.annotation.team import Member
from labeling.db.schema import Role
from labeling.db.values import Id
from labeling.invitations import Link, Waiting
from labeling.users import Me, read_me
from labeling.web.routes.acting import Actor
from labeling.workspace import Workspace


class Team(BaseModel):
    """The people of a project and who is invited."""

    members: list[Member]
    invitations: list[Waiting]


class NewInvitation(BaseModel):
    """Whom to invite."""

    role: Role = Role.ANNOTATOR
    note: str = ""


class NewMember(BaseModel):
    """Whom to take in, by name."""

    name: str
    role: Role = Role.ANNOTATOR


class MemberChanges(BaseModel):
    """What to change of a member; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    set_aside: bool | None = None


class PersonChanges(BaseModel):
    """Whether a user may do anything."""

    disabled: bool


class People(BaseModel):
    """Everybody in the workspace."""

    people: list[Person]


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""

    @api.get("/me")
    def me(actor: Actor) -> Me:
        """Who acts."""
        return read_me(workspace, actor)

    @api.get("/projects/{project_id}/team")
    def read_team(actor: Actor, project_id: Id) -> Team:
        """The people of a project, and the invitations that wait; for its owners."""
        return Team(
            members=team.list_team(workspace, actor, project_id),
            invitations=invitations.list_invitations(workspace, actor, project_id),
        )

    @api.post("/projects/{project_id}/invitations", status_code=201)
    def invite(actor: Actor, project_id: Id, new: NewInvitation) -> Link:
        """Make a link by which one person may join; its path is shown this once."""
        return invitations.invite(workspace, actor, project_id, new.role, new.note)

    @api.post("/invitations/{invitation_id}/revoke")
    def revoke(actor: Actor, invitation_id: Id) -> dict[str, int]:
        """Take an invitation back."""
        invitations.revoke_invitation(workspace, actor, invitation_id)
        return {"revoked": invitation_id}

    @api.post("/projects/{project_id}/members", status_code=201)
    def add_member(actor: Actor, project_id: Id, new: NewMember) -> list[Member]:
        """Take somebody in by name; for owners of the project who own the workspace too."""
        team.add_member(workspace, actor, project_id, new.name, new.role)
        return team.list_team(workspace, actor, project_id)

    @api.patch("/projects/{project_id}/members/{user_id}")
    def change_member(actor: Actor, project_id: Id, user_id: Id, changes: MemberChanges) -> list[Member]:
        """Change a member's role, or set their answers aside and back."""
        if changes.role is not None:
            team.change_role(workspace, actor, project_id, user_id, changes.role)
        if changes.set_aside is not None:
            team.set_aside(workspace, actor, project_id, user_id, aside=changes.set_aside)
        return team.list_team(workspace, actor, project_id)

    @api.post("/projects/{project_id}/members/{user_id}/remove")
    def remove_member(actor: Actor, project_id: Id, user_id: Id) -> dict[str, int]:
        """Take a person out of a project; their answers stay."""
        team.remove_member(workspace, actor, project_id, user_id)
        return {"removed": user_id}

    @api.get("/people")
    def people(actor: Actor) -> People:
        """Everybody in the workspace; for its owner."""
        return People(people=accounts.list_people(workspace, actor))

    @api.patch("/people/{user_id}")
    def change_person(actor: Actor, user_id: Id, changes: PersonChanges) -> People:
        """Shut somebody out of the workspace, or let them in again; for its owner."""
        (accounts.disable_user if changes.disabled else accounts.enable_user)(workspace, actor, user_id)
        return People(people=accounts.list_people(workspace, actor))

    @api.post("/people/{user_id}/reset", status_code=201)
    def reset(actor: Actor, user_id: Id) -> Link:
        """Make a link by which somebody chooses a new password; for the workspace's owner to hand on."""
        return invitations.reset_link(workspace, actor, user_id)
