"""The verbs of the command line, for notebooks and pipelines: `labeling.open_workspace(path)` gives them.

What a verb needs is imported when it is called, so that opening a workspace stays quick.
"""

import os
import platform
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import labeling
from labeling import accounts, classes, invitations, projects, users
from labeling.db.schema import Role
from labeling.errors import Invalid
from labeling.workspace import Workspace, backup, open_workspace

if TYPE_CHECKING:
    import pandas

    from labeling.intake.records import Preview, Reading
    from labeling.learning.labeled_sets import LabeledSet, Oracle

Progress = Callable[[float, str], None]


def _quiet(_fraction: float, _message: str) -> None:
    pass


def _extra(name: str, *packages: str) -> str:
    """The versions of an extra's packages, or how to get it; none is imported."""
    try:
        return ", ".join(f"{package} {metadata.version(package)}" for package in packages)
    except metadata.PackageNotFoundError:
        from labeling.features.pretrained import how_to_install

        return f"not installed: {how_to_install(name)}"


def _with_address(link: invitations.Link) -> dict[str, Any]:
    """A link as it is handed on: with the app's address before it where that is known (ASKWISE_URL)."""
    return {**link.model_dump(), "link": os.environ.get("ASKWISE_URL", "").rstrip("/") + link.path}


def compare(
    labeled: "LabeledSet", strategies: Sequence[str], progress: Progress = _quiet, **options: Any
) -> "pandas.DataFrame":
    """`labeling.compare_strategies` on a labeled set; whatever is wrong with it is an `AskwiseError`."""
    from labeling.learning.simulation import compare_strategies
    from strategies import StrategyError

    try:
        words = labeled.words if options.get("head", "default") == "default" else None
        return compare_strategies(
            labeled.features, labeled.targets, strategies=strategies, words=words, progress=progress, **options
        )
    except StrategyError as error:
        raise Invalid(str(error)) from error


class OpenWorkspace:
    """A workspace and what can be done with it, as its local user.

    Parameters
    ----------
    path
        The folder; `ASKWISE_WORKSPACE`, then `askwise-workspace` here, when None.
    create
        Whether the folder is made where it is missing.

    Every verb raises `labeling.errors.AskwiseError` with one plain sentence where it cannot do what it is asked.
    """

    def __init__(self, path: str | Path | None = None, *, create: bool = True) -> None:
        self.workspace: Workspace = open_workspace(path, create=create)
        self.user_id = users.local_user(self.workspace)

    def demo(self, progress: Progress = _quiet) -> int:
        """The digits project, made and filled where it is missing; returns its id."""
        from labeling.intake.import_job import request_digits

        project_id, job_id = request_digits(self.workspace, self.user_id)
        if job_id is not None:
            self._work_off(job_id, progress)
        return project_id

    def create_project(self, name: str, classes: Sequence[str], *, guidelines: str = "", **settings: Any) -> int:
        """Make a project (settings: see `labeling.projects.Settings`); returns its id."""
        made = projects.create_project
        return made(self.workspace, self.user_id, name, classes, guidelines=guidelines, settings=settings)

    def projects(self) -> list[dict[str, Any]]:
        """Your projects, one dictionary each."""
        return [p.model_dump() for p in projects.list_projects(self.workspace, self.user_id)]

    def settings(self, project: str | int, **changes: Any) -> dict[str, Any]:
        """A project's settings, changed first where any are given; see `labeling.projects.Settings`."""
        project_id = self._project(project)
        if changes:
            projects.update_settings(self.workspace, self.user_id, project_id, changes)
        detail = projects.read_project(self.workspace, self.user_id, project_id)
        return {**detail.settings.model_dump(), "guidelines": detail.guidelines}

    def classes(self, project: str | int) -> list[dict[str, Any]]:
        """A project's classes in their order, retired and merged ones too, one dictionary each."""
        found = classes.list_classes(self.workspace, self.user_id, self._project(project))
        return [c.model_dump() for c in found]

    def add_class(self, project: str | int, name: str, **more: Any) -> dict[str, Any]:
        """Make a class; see `labeling.classes.ClassChanges` for what else can be said of it."""
        made = classes.class_changes(name=name, **more)
        return classes.add_class(self.workspace, self.user_id, self._project(project), made).model_dump()

    def edit_class(self, project: str | int, label_class: str | int, **changes: Any) -> dict[str, Any]:
        """Change a class, given by its name or its number; see `labeling.classes.ClassChanges`."""
        class_id = self._class(project, label_class)
        changed = classes.class_changes(**changes)
        return classes.edit_class(self.workspace, self.user_id, class_id, changed).model_dump()

    def order_classes(self, project: str | int, label_classes: Sequence[str | int]) -> list[dict[str, Any]]:
        """Put classes in this order; those that are not named follow."""
        class_ids = [self._class(project, each) for each in label_classes]
        found = classes.order_classes(self.workspace, self.user_id, self._project(project), class_ids)
        return [c.model_dump() for c in found]

    def merge_class(self, project: str | int, label_class: str | int, into: str | int) -> dict[str, Any]:
        """Let a class stand for another one; returns that one."""
        from labeling.annotation.merging import merge_class

        class_id, target_id = self._class(project, label_class), self._class(project, into)
        return merge_class(self.workspace, self.user_id, class_id, target_id).model_dump()

    def split_class(self, project: str | int, label_class: str | int, parts: Sequence[str]) -> list[dict[str, Any]]:
        """Let several classes take the place of one, whose items are asked anew; returns these."""
        from labeling.annotation.splitting import split_class

        made = split_class(self.workspace, self.user_id, self._class(project, label_class), parts)
        return [c.model_dump() for c in made]

    def retire_class(self, project: str | int, label_class: str | int) -> dict[str, Any]:
        """Take a class out of use; its labels stay."""
        return classes.retire_class(self.workspace, self.user_id, self._class(project, label_class)).model_dump()

    def restore_class(self, project: str | int, label_class: str | int) -> dict[str, Any]:
        """Bring back a class that was retired, merged or split."""
        from labeling.annotation.merging import restore_class

        return restore_class(self.workspace, self.user_id, self._class(project, label_class)).model_dump()

    def preview_items(
        self, project: str | int, path: str | Path, *, reading: "Reading | None" = None, rows: int = 20
    ) -> "Preview":
        """The first rows of a file or folder as they would come into a project, and how it would be read."""
        from labeling.intake.import_job import preview_import

        source = Path(path).expanduser()
        return preview_import(self.workspace, self.user_id, self._project(project), source, reading, rows=rows)

    def import_items(
        self,
        project: str | int,
        path: str | Path,
        *,
        labels: Literal["oracle", "imported", "ignore"] = "oracle",
        reading: "Reading | None" = None,
        progress: Progress = _quiet,
    ) -> dict[str, Any]:
        """Take what a file or folder holds into a project; returns what was added and refused, and where all that
        was refused is listed.

        An interrupt cancels it and keeps what went in; importing the same again goes on.

        Parameters
        ----------
        labels
            What known classes become: an oracle for simulations, answers that the model learns from, or nothing.
        reading
            How it is to be read; what is None in it is guessed. See `labeling.intake.records.Reading`.
        """
        from labeling.intake.import_job import cancel_import, read_import, request_import
        from labeling.intake.ledger import refused_path

        project_id, source = self._project(project), Path(path).expanduser()
        job_id = request_import(self.workspace, self.user_id, project_id, source, labels=labels, reading=reading)
        try:
            self._work_off(job_id, progress)
        except KeyboardInterrupt:
            cancel_import(self.workspace, self.user_id, job_id)
            raise
        listed = refused_path(self.workspace, job_id)
        outcome = read_import(self.workspace, self.user_id, job_id).model_dump(mode="json")
        return outcome | {"refused_list": str(listed) if listed.exists() else None}

    def export(
        self,
        project: str | int,
        format: str = "csv",
        out: str | Path = ".",
        *,
        progress: Progress = _quiet,
        **options: Any,
    ) -> Path:
        """Write a project into the folder `out`; returns the file, which is there whole or not at all.

        CSV and JSON Lines that were cut off go on where they were. The options (``rows``, ``split``, ``seed``,
        ``unlabeled``, ``images``) are those of `labeling.delivery.exports.Wanted`.
        """
        from labeling.delivery.exports import Wanted
        from labeling.delivery.files import export_file

        folder, wanted = Path(out).expanduser(), Wanted(format, **options)
        return export_file(self.workspace, self.user_id, self._project(project), folder, wanted, progress=progress).path

    def annotations(self, project: str | int) -> "pandas.DataFrame":
        """A project's standing answers with their provenance, one row each."""
        import pandas

        from labeling.delivery.exports import COLUMNS, export_rows

        rows = export_rows(self.workspace, self.user_id, self._project(project))
        return pandas.DataFrame.from_records(list(rows), columns=list(COLUMNS))

    def import_features(
        self, project: str | int, path: str | Path, *, words: str = "", progress: Progress = _quiet
    ) -> dict[str, Any]:
        """Take a matrix of features made elsewhere (`.npy`, Parquet) into a project, whose encoder it becomes; see
        `labeling.features.brought.import_features`.
        """
        from labeling.features.brought import import_features

        source = Path(path).expanduser()
        project_id = self._project(project)
        return import_features(self.workspace, self.user_id, project_id, source, words=words, progress=progress)

    def find(
        self,
        project: str | int,
        text: str | None = None,
        *,
        like: str | int | None = None,
        count: int = 40,
        labeled: bool = True,
        progress: Progress = _quiet,
    ) -> list[dict[str, Any]]:
        """The items nearest to a description, or to the item `like` (its name or its number), the nearest first.

        Each has ``id``, ``external_id``, ``score`` (the cosine) and ``label``; where not `labeled`, those that have a
        label are left out. Words are embedded here where no worker is running.
        """
        from labeling.learning import find, status

        project_id = self._project(project)
        item_id = None if like is None else find.find_item(self.workspace, self.user_id, project_id, str(like))
        heard = status.worker_heard(self.workspace)
        alone = heard is None or heard > status.WORKER_SILENT_SECONDS
        found = find.find_items(
            self.workspace, self.user_id, project_id, text=text, item_id=item_id, count=count, include_labeled=labeled,
            perform=(lambda job_id: self._work_off(job_id, progress)) if alone else None,
        )  # fmt: skip
        return [item.model_dump() for item in found]

    def review(
        self, project: str | int, *, cause: str | None = None, decided: bool = False, limit: int = 20
    ) -> dict[str, Any]:
        """What waits for an expert, or what was decided: ``items``, and how many wait for which cause.

        Each item has ``label`` and ``decided``, the names of its classes, besides what
        `labeling.annotation.review.ReviewItem` has.
        """
        from labeling.annotation.review_order import Cause
        from labeling.learning.model_view import read_review

        project_id, chosen = self._project(project), None if cause is None else Cause(cause)
        found = read_review(
            self.workspace, self.user_id, project_id, cause=chosen, decided=decided, limit=limit
        ).model_dump(mode="json")
        names = {c["id"]: c["name"] for c in self.classes(project_id)}
        for item in found["items"]:
            decision = item["decision"]
            item["label"] = names[item["label"]["class_id"]] if item["label"] else None
            item["decided"] = None if decision is None else names.get(decision["class_id"], "cannot be told")
        return found

    def decide(self, project: str | int, item: str | int, label_class: str | int | None, **more: Any) -> dict[str, Any]:
        """Decide on an item, by its name or its number: its class, or without one that it cannot be told; see
        `labeling.annotation.adjudication.Decision` for what else can be said of it.
        """
        from labeling.annotation import adjudication
        from labeling.learning.find import find_item

        project_id = self._project(project)
        item_id = find_item(self.workspace, self.user_id, project_id, str(item))
        class_id = None if label_class is None else self._class(project_id, label_class)
        decision = adjudication.Decision(
            event_id=str(uuid.uuid4()), item_id=item_id, class_id=class_id,
            verdict="unsure" if class_id is None else "label", **more,
        )  # fmt: skip
        (made,) = adjudication.decide(self.workspace, self.user_id, project_id, [decision])
        if made.status == "refused":
            raise Invalid(made.why)
        return made.model_dump()

    def gold(self, project: str | int, file: str | Path) -> int:
        """Check people by the items of a CSV file (``external_id``, ``class``); returns how many there are."""
        from labeling.annotation.gold_file import gold_from_file

        return gold_from_file(self.workspace, self.user_id, self._project(project), Path(file).expanduser())

    def predict(self, project: str | int, files: Sequence[str | Path]) -> list[dict[str, Any]]:
        """Label files with a project's live model; see `labeling.delivery.prediction.predict` for the keys."""
        from labeling.delivery.prediction import predict

        paths = [Path(file).expanduser() for file in files]
        return list(predict(self.workspace, self.user_id, self._project(project), paths))

    def labeled_set(self, project: str | int, oracle: "Oracle | None" = None) -> "LabeledSet":
        """What a simulation would replay: features, and what the oracle answers.

        Parameters
        ----------
        oracle : {"labels", "known"}, optional
            The labels that people gave, or the classes that came with the items (the names of their folders); the
            former where there are enough of them, unless told otherwise.
        """
        from labeling.learning import labeled_sets

        project_id = self._project(project)
        chosen = oracle or labeled_sets.choose_oracle(
            labeled_sets.count_answers(self.workspace, self.user_id, project_id)
        )
        return labeled_sets.of_project(self.workspace, self.user_id, project_id, chosen)

    def simulate(
        self,
        project: str | int,
        strategies: Sequence[str] = ("adaptive", "random"),
        *,
        oracle: "Oracle | None" = None,
        progress: Progress = _quiet,
        **options: Any,
    ) -> "pandas.DataFrame":
        """Replay labeling with several strategies on a project's own answers; see `labeling.compare_strategies` for the
        options (``budget``, ``batch_size``, ``seeds``, ``head``, ``processes``) and the columns.
        """
        return compare(self.labeled_set(project, oracle), strategies, progress, **options)

    def tune(self, project: str | int, *, progress: Progress = _quiet) -> dict[str, Any]:
        """Tune a project's CLIP on its labels; it goes live only where it is better on answers that it has not seen.

        Returns what became of it: see `labeling.learning.tuning_job.Report`. An interrupt stops it, and leaves
        everything as it was.
        """
        from labeling.learning import tuning_job

        project_id = self._project(project)
        job_id = tuning_job.request(self.workspace, self.user_id, project_id)
        try:
            return self._work_off(job_id, progress)
        except KeyboardInterrupt:
            tuning_job.cancel(self.workspace, self.user_id, project_id)
            raise

    def token(self, name: str, role: Role = Role.ANNOTATOR) -> str:
        """Make an API token for a user, who becomes a member of every project there is."""
        return users.issue_token(self.workspace, name, role)

    def revoke_tokens(self, name: str) -> int:
        """End every token of a user; returns how many were live."""
        return users.revoke_tokens(self.workspace, name)

    def people(self, project: str | int | None = None) -> list[dict[str, Any]]:
        """Everybody in the workspace, or the people of a project, one dictionary each."""
        from labeling.annotation.team import list_team

        if project is None:
            return [p.model_dump() for p in accounts.list_people(self.workspace, self.user_id)]
        return [m.model_dump() for m in list_team(self.workspace, self.user_id, self._project(project))]

    def agreement(self, project: str | int) -> dict[str, Any]:
        """How far the people of a project agree: see `labeling.learning.agreement_figures.Agreement`."""
        from labeling.learning.agreement_figures import read_agreement

        return read_agreement(self.workspace, self.user_id, self._project(project)).model_dump()

    def records(self, project: str | int) -> dict[str, Any]:
        """How well the people of a project answer, who is flagged, and the pull of suggestions, by the last weighing;
        see `labeling.learning.people_records.Records`.
        """
        from labeling.learning.people_records import read_records

        return read_records(self.workspace, self.user_id, self._project(project)).model_dump()

    def add_account(self, name: str, password: str, *, administers: bool = False) -> int:
        """Make an account; the first one owns the workspace, and from then on everybody signs in."""
        return accounts.add_account(self.workspace, self.user_id, name, password, administers=administers)

    def invite(
        self, project: str | int | None = None, role: Role = Role.ANNOTATOR, *, note: str = ""
    ) -> dict[str, Any]:
        """Make a link by which one person may join a project, or have an account; its secret is shown this once."""
        project_id = None if project is None else self._project(project)
        return _with_address(invitations.invite(self.workspace, self.user_id, project_id, role, note))

    def reset_link(self, name: str) -> dict[str, Any]:
        """Make a link by which a person chooses a new password."""
        return _with_address(invitations.reset_link(self.workspace, self.user_id, self._person(name)))

    def shut_out(self, name: str, *, out: bool = True) -> None:
        """Shut a person out of the workspace at once, or let them in again."""
        (accounts.disable_user if out else accounts.enable_user)(self.workspace, self.user_id, self._person(name))

    def set_role(self, project: str | int, name: str, role: Role) -> None:
        """Give a person a role in a project, whether they were in it or not."""
        from labeling.annotation import team

        project_id, user_id = self._project(project), self._person(name)
        team.add_member(self.workspace, self.user_id, project_id, name, role)
        team.change_role(self.workspace, self.user_id, project_id, user_id, role)

    def remove_member(self, project: str | int, name: str) -> None:
        """Take a person out of a project; their answers stay."""
        from labeling.annotation.team import remove_member

        remove_member(self.workspace, self.user_id, self._project(project), self._person(name))

    def set_aside(self, project: str | int, name: str, *, aside: bool = True) -> None:
        """Let a person's answers in a project count for nothing, or count again; either retrains."""
        from labeling.annotation.team import set_aside

        set_aside(self.workspace, self.user_id, self._project(project), self._person(name), aside=aside)

    def take_over(self, project_id: int) -> None:
        """Become an owner of a project that others made."""
        accounts.take_over(self.workspace, self.user_id, project_id)

    def history(self, project: str | int | None = None, *, limit: int = 50) -> list[dict[str, Any]]:
        """Who did what in a project, when, the newest first; without a project, what belongs to none: accounts, signing
        in.

        Each has ``created``, ``who``, ``kind`` and ``sentence``.
        """
        from labeling.audit_log import read_events

        project_id = None if project is None else self._project(project)
        return [e.model_dump() for e in read_events(self.workspace, self.user_id, project_id, limit=limit).events]

    def backup(self, dest: str | Path, progress: Progress = _quiet) -> int:
        """Copy the workspace while it is in use; returns how many files were copied beside the database."""
        return backup(self.workspace, Path(dest).expanduser(), progress)

    def doctor(self) -> dict[str, Any]:
        """What this machine and this workspace are."""
        from labeling.learning.status import worker_heard

        heard = worker_heard(self.workspace)
        return {
            "version": labeling.__version__,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "workspace": str(self.workspace.root),
            "database": self.workspace.engine.dialect.name,
            "free_disk_gb": round(shutil.disk_usage(self.workspace.root).free / 1e9, 1),
            "worker_heartbeat": None if heard is None else round(heard, 1),
            "clip": _extra("clip", "open_clip_torch", "torch", "torchvision"),
            "text": _extra("text", "sentence-transformers", "torch"),
        }

    def _project(self, project: str | int) -> int:
        return projects.find_project(self.workspace, self.user_id, str(project))

    def _person(self, name: str) -> int:
        return accounts.find_user(self.workspace, self.user_id, name)

    def _class(self, project: str | int, label_class: str | int) -> int:
        return classes.find_class(self.workspace, self.user_id, self._project(project), str(label_class))

    def _work_off(self, job_id: int, progress: Progress) -> dict[str, Any]:
        from labeling.learning.worker import work_off

        job = work_off(self.workspace, job_id, progress)
        if job.error:
            raise Invalid(job.error)
        return job.report
