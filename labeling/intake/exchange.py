"""Exports of other tools as tables: Label Studio, doccano and COCO.

Each task or image becomes a row of what it holds, with the class that was chosen under `LABEL`; what else these
formats can say (boxes, spans, relations) is no class of an item and is left out.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from labeling.errors import Invalid
from labeling.intake.archives import File
from labeling.intake.jsonlines import explain, open_objects
from labeling.intake.lines import check_encoding, guess_encoding
from labeling.intake.records import Reading, Refused
from labeling.intake.tables import Row, Table

LABEL = "label"
MAX_JSON = 256 * 1024**2  # bytes of a file that can only be read as a whole
ADMINISTRATION = {  # what Label Studio adds to each row of its smaller export, JSON-MIN
    "annotation_id", "annotator", "created_at", "updated_at", "lead_time", "agreement", "reviews_accepted"
}  # fmt: skip
NOT_CHOICES = "Only choices of one class are read; boxes, spans and other kinds of answers are left out."

Change = Callable[[dict[str, Any], list[str]], dict[str, Any]]  # an object to the cells of its row, and the notes


@contextmanager
def open_exchange(file: File, reading: Reading) -> Iterator[Table]:
    """Open an export of Label Studio (JSON or JSON-MIN), doccano (JSON Lines) or COCO (JSON).

    Raises
    ------
    Invalid
        If it cannot be read as a whole.
    """
    if reading.format == "coco":
        yield _coco(file, reading)
        return
    change: Change = _task if reading.format == "label-studio" else _document
    notes: list[str] = []
    with open_objects(file, reading) as (objects, found, lines):
        yield Table([], _changed(objects, change, notes, file.name), found, share=lines.share, notes=notes)


def _changed(rows: Iterator[Row | Refused], change: Change, notes: list[str], name: str) -> Iterator[Row | Refused]:
    for row in rows:
        if isinstance(row, Refused):
            yield row
            continue
        try:
            yield Row(row.line, change(row.cells, notes))
        except Invalid as error:
            yield Refused(name, row.line, str(error))


def is_label_studio(found: Mapping[str, Any]) -> bool:
    """Whether an object is a task of Label Studio."""
    whole = isinstance(found.get("data"), dict) and bool(
        {"annotations", "completions", "predictions", "id"} & set(found)
    )
    return whole or ("annotation_id" in found and "lead_time" in found)


def is_doccano(found: Mapping[str, Any]) -> bool:
    """Whether an object is a document of doccano."""
    has_text = isinstance(found.get("text", found.get("data", found.get("filename"))), str)
    return has_text and any(isinstance(found.get(name), list) for name in ("label", "labels", "cats"))


def is_coco(found: Mapping[str, Any]) -> bool:
    """Whether an object is a COCO data set."""
    return all(isinstance(found.get(name), list) for name in ("images", "annotations", "categories"))


def _task(task: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """A task of Label Studio; of the smaller export, where each task is flat, without what administers it."""
    data = task.get("data")
    if not isinstance(data, dict):
        if "data" in task and {"annotations", "completions"} & set(task):
            raise Invalid("Its data is not an object with names and values; export it again.")
        return {name: cell for name, cell in task.items() if name not in ADMINISTRATION}
    cells = dict(data)
    if not {"id", "external_id"} & set(cells) and "id" in task:
        cells["id"] = task["id"]
    if isinstance(task.get("meta"), dict) and task["meta"] and "meta" not in cells:
        cells["meta"] = task["meta"]
    answers = task.get("annotations", task.get("completions"))
    chosen: list[str] = []
    for answer in answers if isinstance(answers, list) else []:
        if not isinstance(answer, dict) or answer.get("was_cancelled"):
            continue
        results = answer.get("result")
        for result in results if isinstance(results, list) else []:
            if isinstance(result, dict):
                chosen += _choices(result, notes)
    if chosen or answers:
        cells[LABEL] = list(dict.fromkeys(chosen))
    return cells


def _choices(result: dict[str, Any], notes: list[str]) -> list[str]:
    value = result.get("value")
    choices = value.get("choices") if isinstance(value, dict) else None
    if isinstance(choices, list):
        return [choice for choice in choices if isinstance(choice, str)]
    if NOT_CHOICES not in notes:
        notes.append(NOT_CHOICES)
    return []


def _document(document: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """A document of doccano, whose labels are names; those of spans are lists of where they begin and end."""
    cells = {name: cell for name, cell in document.items() if name not in ("labels", "cats", "comments", "Comments")}
    given = next((document[name] for name in ("label", "labels", "cats") if name in document), None)
    names = given if isinstance(given, list) else [given]
    if any(isinstance(name, list | dict) for name in names):
        names = []
        if NOT_CHOICES not in notes:
            notes.append(NOT_CHOICES)
    cells[LABEL] = names
    return cells


def _coco(file: File, reading: Reading) -> Table:
    """The images of a COCO data set with the category that all annotations of an image have."""
    data = file.read(MAX_JSON)
    encoding = check_encoding(reading.encoding) if reading.encoding else guess_encoding(data[:1_000_000]) or "utf-8"
    try:
        whole = json.loads(data.decode(encoding))
    except UnicodeDecodeError as error:
        raise Invalid(f"{file.name} has bytes that are not {encoding}; save it as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{file.name} cannot be read as COCO: {_lowered(explain(error))}") from error
    if not isinstance(whole, dict) or not is_coco(whole):
        raise Invalid(f"{file.name} is not COCO; it needs lists of images, annotations and categories.")
    notes: list[str] = []
    try:
        names = {category["id"]: str(category["name"]) for category in whole["categories"]}
        chosen: dict[Any, list[str]] = defaultdict(list)
        for annotation in whole["annotations"]:
            chosen[annotation["image_id"]].append(names[annotation["category_id"]])
        images = [(image["id"], image["file_name"], image) for image in whole["images"]]
        labels = {id: list(dict.fromkeys(chosen.get(id, []))) for id, _, _ in images}
    except (KeyError, TypeError) as error:
        raise Invalid(f"{file.name} is not complete COCO: {error} is missing or wrong somewhere.") from error
    if not images:
        raise Invalid(f"{file.name} has no images; give a file with something in it.")
    rows = iter([Row(None, _coco_row(name, labels[id], image)) for id, name, image in images])
    found = reading.model_copy(update={"encoding": encoding})
    return Table([], rows, found, total=len(images), notes=notes)


def _coco_row(name: object, labels: list[str], image: Mapping[str, Any]) -> dict[str, Any]:
    """An image of COCO; besides its size and origin, what else it says of itself is kept."""
    usual = {"id", "file_name", "width", "height", "license", "flickr_url", "coco_url", "date_captured"}
    more = {key: cell for key, cell in image.items() if key not in usual}
    return {"file_name": name, LABEL: labels, **more}


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
