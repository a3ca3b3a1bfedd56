"""Prints what Label Studio's SDK reads of an unpacked export; run by the Python that has `label-studio-sdk`."""

import json
import sys
import tempfile
from pathlib import Path

from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface


def main(folder: Path) -> None:
    config = (folder / "labeling-config.xml").read_text(encoding="utf-8")
    interface = LabelInterface(config)
    interface.validate()
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    (control,) = interface.controls
    with tempfile.TemporaryDirectory() as out:
        converter = Converter(config=config, project_dir=str(folder), download_resources=False)
        converter.convert_to_json_min(str(folder / "tasks.json"), out, is_dir=False)
        converted = json.loads((Path(out) / "result.json").read_text(encoding="utf-8"))
    told = {
        "choices": control.labels,
        # The SDK cannot check a task and its annotations in one go.
        "valid_tasks": [interface.validate_task({"data": task["data"]}) for task in tasks],
        "valid_annotations": [interface.validate_annotation(a) for task in tasks for a in task.get("annotations", [])],
        "valid_predictions": [interface.validate_prediction(p) for task in tasks for p in task.get("predictions", [])],
        "converted": {task["external_id"]: task.get("label") for task in converted},
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
