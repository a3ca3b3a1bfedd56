"""What each kind of event in the audit log says, as one plain sentence: names as they are today, never a secret.

A kind that is new needs a sentence in `SENTENCES`; a test walks the source and holds that none is missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from labeling.db.schema import Event

SOMEBODY = "somebody who is not known any more"
NAMED_ITEMS = 3  # of items that an event is about; the others are counted
NAMED_CLASSES = 8
PARTS_OF_A_CLASS = {
    "key": "key", "colour": "colour", "description": "description", "examples": "examples",
    "prompts": "wording for the model",
}  # fmt: skip
SETTINGS = {
    "overlap": "answers of an item",
    "opinions": "how answers are asked for",
    "certainty": "how sure a label is to be",
    "gold_share": "share of gold items",
    "strategy": "what is asked next",
    "head": "model",
    "encoder": "features",
    "templates": "templates for class names",
    "lease_seconds": "seconds that an item is held",
    "suggestions": "suggestions",
    "hidden_share": "share of hidden suggestions",
    "blind": "review without names",
    "consensus": "how answers become a label",
    "soft_labels": "learning how sure labels are",
    "near_duplicates": "near-duplicates",
    "columns": "columns shown first",
    "target_accuracy": "accuracy to reach",
}
SHARES = {"certainty", "gold_share", "hidden_share", "target_accuracy"}


@dataclass
class Known:
    """What the ids in the events of a page stand for today."""

    people: dict[int, str] = field(default_factory=dict)
    classes: dict[int, str] = field(default_factory=dict)
    items: dict[int, str] = field(default_factory=dict)
    files: dict[int, str] = field(default_factory=dict)  # that imports read, by job
    notes: dict[int, str] = field(default_factory=dict)  # of invitations


class _Happened:
    """One event, and the names in it."""

    def __init__(self, event: Event, known: Known) -> None:
        self.detail: dict[str, Any] = event.detail
        self.in_a_project = event.project_id is not None
        self.who = _quoted(known.people.get(event.user_id or 0, SOMEBODY))
        self._known = known

    @property
    def person(self) -> str:
        """Whom it was done to."""
        return _quoted(self._known.people.get(self.detail["user"], SOMEBODY))

    @property
    def role(self) -> str:
        return f"an {self.detail['role']}"

    def a_class(self, class_id: str = "id", name: str = "name") -> str:
        """A class by its name of today, and of then where that was another one; the arguments are keys of the detail.

        Older events have no id.
        """
        then = self.detail[name]
        today = self._known.classes.get(self.detail.get(class_id, 0), then)
        return _quoted(today) if today == then else f"{_quoted(today)} (then {_quoted(then)})"

    def items(self) -> str:
        ids = self.detail["items"]
        named = [_quoted(self._known.items[one]) for one in ids[:NAMED_ITEMS] if one in self._known.items]
        return _and([*named, *_others(len(ids) - len(named))])

    def file(self) -> str:
        name = self._known.files.get(self.detail.get("job") or 0)
        return f"An import of {_quoted(name)}" if name else "An import"

    def noted(self) -> str:
        note = self._known.notes.get(self.detail["invitation"])
        return f" (note: {_quoted(note)})" if note else ""


def sentence_of(event: Event, known: Known) -> str:
    """What an event says."""
    try:
        return SENTENCES[event.kind](_Happened(event, known))
    except (KeyError, TypeError):  # written by another version: the log is read all the same
        return f"{event.kind[:1].upper()}{event.kind[1:]}."


def _project_created(it: _Happened) -> str:
    return f"The project {_quoted(it.detail['name'])} was created."


def _settings_changed(it: _Happened) -> str:
    changed = {name: value for name, value in it.detail.items() if name != "guidelines"}
    said = [f"{SETTINGS.get(name, name.replace('_', ' '))}: {_value(name, value)}" for name, value in changed.items()]
    guidelines = "guidelines" in it.detail
    if not said:
        return "The guidelines were changed." if guidelines else "The settings were saved as they were."
    return f"Settings were changed ({'; '.join(['the guidelines'] * guidelines + said)})."


def _value(name: str, value: object) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if name in SHARES and isinstance(value, int | float):
        return f"{100 * value:.4g}%"
    if isinstance(value, list):
        return ", ".join(_quoted(str(one)) for one in value)
    return str(value).replace("_", " ") if name != "encoder" else str(value)


def _class_changed(it: _Happened) -> str:
    now, was = it.detail["name"], it.detail.get("was")
    parts = [said for name, said in PARTS_OF_A_CLASS.items() if name in it.detail]
    were = "were" if len(parts) > 1 or "examples" in parts else "was"
    if was is None or was == now:
        if not parts:
            return f"The class {it.a_class()} was saved as it was."
        return f"The {_and(parts)} of the class {it.a_class()} {were} changed."
    renamed = f"The class {_quoted(was)} was renamed {_quoted(now)}"
    if it.a_class() != _quoted(now):
        renamed = f"The class {it.a_class()} was renamed; it was {_quoted(was)} before"
    return f"{renamed}, and its {_and(parts)} {were} changed." if parts else f"{renamed}."


def _classes_ordered(it: _Happened) -> str:
    names = it.detail["names"]
    shown = [_quoted(name) for name in names[:NAMED_CLASSES]]
    return f"The classes were put in order: {_and([*shown, *_others(len(names) - len(shown))])}."


def _gold_items(it: _Happened) -> str:
    return f"People are {'' if it.detail['gold'] else 'no longer '}checked by {it.items()}."


def _import(it: _Happened) -> str:
    found = it.detail
    labeled = f", {found['labeled']:,} of them with labels" if found.get("labeled") else ""
    rest = [
        f"{found[name]:,} {'was' if found[name] == 1 else 'were'} {said}"
        for name, said in (("duplicates", "there already"), ("refused", "refused"))
        if found[name]
    ]
    return f"{it.file()} brought {_count(found['added'], 'item')}{labeled}{'; ' if rest else ''}{_and(rest)}."


def _flagged(it: _Happened) -> str:
    right, answered, others = (it.detail[name] for name in ("right", "answered", "expected_right"))
    return (
        f"{it.person} was flagged as careless: {right:,} of {_count(answered, 'gold item')} right, where others would "
        f"have {others:.0f}."
    )


def _suggestions_hidden(it: _Happened) -> str:
    with_it, without = (
        it.detail[f"right_{how}"] / it.detail[how] if it.detail[how] else None for how in ("shown", "hidden")
    )
    why = "" if with_it is None or without is None else f" ({with_it:.0%} with them, {without:.0%} without)"
    return f"Suggestions were hidden from then on, as people were right less often with them{why}."


def _split(it: _Happened) -> str:
    return f"The class {it.a_class()} was split into {_and([_quoted(name) for name in it.detail['parts']])}."


def _invited(it: _Happened) -> str:
    what = f"join as {it.role}" if it.in_a_project else "have an account"
    return f"A link was made by which one person may {what}{it.noted()}."


def _came_in(it: _Happened) -> str:
    # Without a project the role means nothing; and such a link may also have been one that sets a password.
    return f"{it.who} came in by a link{f', as {it.role}' if it.in_a_project else ''}{it.noted()}."


def _linked(it: _Happened) -> str:
    found = it.detail["items"]
    return f"{_count(found, 'item')} {'was' if found == 1 else 'were'} found to be nearly the same as others."


SENTENCES: dict[str, Callable[[_Happened], str]] = {
    "project created": _project_created,
    "project taken over": lambda it: f"{it.who} became an owner of the project, as an owner of the workspace.",
    "settings changed": _settings_changed,
    "class added": lambda it: f"The class {it.a_class()} was added.",
    "class changed": _class_changed,
    "classes ordered": _classes_ordered,
    "class merged": lambda it: f"The class {it.a_class()} was merged into {it.a_class('into', 'into_name')}.",
    "class split": _split,
    "class retired": lambda it: f"The class {it.a_class()} was retired.",
    "class restored": lambda it: f"The class {it.a_class()} was brought back.",
    "gold items": _gold_items,
    "import": _import,
    "import cancelled": lambda it: f"{it.file()} was cancelled after {_count(it.detail['added'], 'item')}.",
    "near-duplicates linked": _linked,
    "person flagged": _flagged,
    "suggestions hidden": _suggestions_hidden,
    "member added": lambda it: f"{it.person} was taken in as {it.role}.",
    "role changed": lambda it: f"{it.person} was made {it.role}.",
    "member removed": lambda it: f"{it.person} was taken out of the project.",
    "answers set aside": lambda it: f"The answers of {it.person} were set aside.",
    "answers count again": lambda it: f"The answers of {it.person} count again.",
    "invitation made": _invited,
    "invitation revoked": lambda it: f"A link by which one person could have joined was taken back{it.noted()}.",
    "invitation used": _came_in,
    "reset link made": lambda it: f"A link was made by which {it.person} may choose a new password.",
    "account made": lambda it: f"An account was made for {it.person}.",
    "password changed": lambda it: f"{it.who} chose a new password.",
    "user disabled": lambda it: f"{it.person} was shut out of the workspace.",
    "user enabled": lambda it: f"{it.person} was let into the workspace again.",
    "token made": lambda it: f"{it.who} made an API token.",
    "signed in": lambda it: f"{it.who} signed in.",
}


def _quoted(name: str) -> str:
    return f"“{name}”"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _others(number: int) -> list[str]:
    return [_count(number, "other")] if number > 0 else []


def _and(parts: Sequence[str]) -> str:
    return " and ".join([*([", ".join(parts[:-1])] if len(parts) > 1 else []), *parts[-1:]])
