"""Label Studio: tasks with their labels as JSON, and the labeling configuration that they belong to.

Written for the import of Label Studio 1.x and its SDK: https://labelstud.io/guide/tasks (tasks, annotations,
predictions), https://labelstud.io/tags/choices (the configuration).
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from labeling.db.schema import Source
from labeling.delivery.archives import Archive, Scratch, file_name, read_image
from labeling.delivery.label_rows import LabelRow, LabelRows
from labeling.delivery.tabular import Part
from labeling.errors import Invalid

SHOWN = {"image": "Image", "text": "Text", "fields": "Table"}  # what is shown, by which tag
CONTROL = "label"  # the choices' name
LOCAL = "/data/local-files/?d="
CARD = """# Tasks for Label Studio

1. Make a project, and paste `labeling-config.xml` as its labeling configuration.
2. Import `tasks.json`. `external_id` of a task's data is what the item is called in Askwise.

Images are under `images/`. Serve this folder to Label Studio as local files: set
`LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true` and `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT` to this folder.
"""
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_label_studio(items: LabelRows, images: bool = True) -> Iterator[Part]:
    """`images/<name>` where there are any, `tasks.json`, `labeling-config.xml` and a page that says how to import them.

    Raises
    ------
    Invalid
        If a class cannot be named in the configuration.
    """
    names = [items.lookup.classes[class_id] for class_id in sorted(set(items.lookup.live.values()))]
    if wrong := next(filter(NOT_XML.search, names), None):
        raise Invalid(
            f"Label Studio's configuration cannot hold the class “{wrong}”; rename it without control characters."
        )
    return _parts(items, names, images)


def _parts(items: LabelRows, names: list[str], images: bool) -> Iterator[Part]:
    archive, at, kinds = Archive(), 0, set[str]()
    with Scratch() as scratch:
        tasks = scratch.file("tasks")
        for chunk in items.chunks():
            for values in chunk.rows:
                row = LabelRow._make(values)
                address = None
                if row.image is not None:
                    data, ending = read_image(items.workspace, row.image, row.external_id)
                    address = f"images/{file_name(row.external_id, row.item_id, ending)}"
                    if images:
                        archive.stored(address, data)
                        yield Part(archive.taken(), at)
                made = _task(row, address)
                kinds.add(_kind(row))
                tasks.write((",\n" if tasks.tell() else "[\n").encode() + json.dumps(made, ensure_ascii=False).encode())
            at = chunk.after
            yield Part(b"", at)
        tasks.write(b"\n]\n" if tasks.tell() else b"[]\n")
        for data in archive.copied("tasks.json", [tasks]):
            yield Part(data, at)
    archive.text("labeling-config.xml", _configuration(kinds, names))
    archive.text("README.md", CARD)
    yield Part(archive.closed(), at)


def _kind(row: LabelRow) -> str:
    return "image" if row.image is not None else "text" if row.text is not None else "fields"


def _task(row: LabelRow, address: str | None) -> dict[str, Any]:
    kind = _kind(row)
    shown = LOCAL + quote(address) if address is not None else row.text if kind == "text" else row.fields or {}
    data = {"external_id": row.external_id, kind: shown, "meta": row.meta, "split": row.split}
    task: dict[str, Any] = {
        "id": row.item_id,
        "data": {name: value for name, value in data.items() if value is not None},
    }
    if row.label is None:
        return task
    value = {"choices": [row.label]}
    said = {"id": f"label-{row.item_id}", "from_name": CONTROL, "to_name": kind, "type": "choices", "value": value}
    if row.source == Source.MACHINE.value:
        task["predictions"] = [{"model_version": "askwise", "score": row.confidence, "result": [said]}]
    else:
        task["annotations"] = [{"id": row.item_id, "result": [said], "was_cancelled": False, "ground_truth": False}]
    return task


def _configuration(kinds: set[str], names: list[str]) -> str:
    """The choices for what is shown: of one kind in nearly every pool."""
    view = ElementTree.Element("View")
    shown = [kind for kind in SHOWN if kind in kinds] or ["text"]
    for kind in shown:
        ElementTree.SubElement(view, SHOWN[kind], name=kind, value=f"${kind}")
    choices = ElementTree.SubElement(
        view, "Choices", {"name": CONTROL, "toName": ",".join(shown), "choice": "single", "showInline": "true"}
    )
    for name in names:
        ElementTree.SubElement(choices, "Choice", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"
