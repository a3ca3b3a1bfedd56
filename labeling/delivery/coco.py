"""COCO for classification: images, categories, and one annotation without a box for each label.

The format's fields: https://cocodataset.org/#format-data. A category's id is the class's own, an image's the item's.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

from PIL import Image

from labeling.delivery.archives import Archive, Scratch, Sides, file_name, read_image
from labeling.delivery.label_rows import LabelRow, LabelRows
from labeling.delivery.tabular import Part


def write_coco(items: LabelRows, images: bool = True) -> Iterator[Part]:
    """`<side>/images/<name>`, and `<side>/annotations.json` with file names as they are from there."""
    archive, sides, at = Archive(), Sides(), 0
    with Scratch() as scratch:
        folders = {sides.folder(None)} if items.split is None else set()
        for chunk in items.chunks():
            for values in chunk.rows:
                row = LabelRow._make(values)
                assert row.image is not None
                data, ending = read_image(items.workspace, row.image, row.external_id)
                folder, name = sides.folder(row.split), f"images/{file_name(row.external_id, row.item_id, ending)}"
                folders.add(folder)
                if images:
                    archive.stored(folder + name, data)
                    yield Part(archive.taken(), at)
                with Image.open(io.BytesIO(data)) as opened:  # intake re-encoded it; only its header is read
                    width, height = opened.size
                image = {"id": row.item_id, "file_name": name, "width": width, "height": height,
                         "external_id": row.external_id, "meta": row.meta or {}}  # fmt: skip
                _add(scratch, f"{folder}images", image)
                if row.class_id is not None:
                    said = {"id": row.item_id, "image_id": row.item_id, "category_id": row.class_id,
                            "score": row.confidence, "source": row.source}  # fmt: skip
                    _add(scratch, f"{folder}annotations", said)
            at = chunk.after
            yield Part(b"", at)
        categories = [
            {"id": class_id, "name": items.lookup.classes[class_id]}
            for class_id in sorted(set(items.lookup.live.values()))
        ]
        for folder in sorted(folders):
            begin, middle, end = (scratch.file(f"{folder}{part}") for part in ("begin", "middle", "end"))
            begin.write(f'{{"categories": {json.dumps(categories, ensure_ascii=False)},\n"images": [\n'.encode())
            middle.write(b'\n],\n"annotations": [\n')
            end.write(b"\n]}\n")
            whole = [begin, scratch.file(f"{folder}images"), middle, scratch.file(f"{folder}annotations"), end]
            for data in archive.copied(f"{folder}annotations.json", whole):
                yield Part(data, at)
    yield Part(archive.closed(), at)


def _add(scratch: Scratch, key: str, made: dict[str, Any]) -> None:
    file = scratch.file(key)
    file.write((",\n" if file.tell() else "").encode() + json.dumps(made, ensure_ascii=False).encode())
