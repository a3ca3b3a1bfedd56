"""Images, texts or rows into a project: a file chosen, looked at, its reading corrected, and then imported."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import pandas as pd
import streamlit as st
from streamlit.typing import UploadedFile

from labeling.errors import AskwiseError
from labeling.intake import inbox
from labeling.intake.import_job import as_table, preview_import, request_import
from labeling.intake.importer import KIND_WORDS, Labels
from labeling.intake.records import Preview, Reading
from labeling.intake.records import Role as ColumnRole
from labeling.intake.sources import FORMATS
from labeling.web import current, frame
from labeling.web.frame import plain

UPLOAD_MB = 500
SAVED, SEEN = "import_saved", "import_seen"  # in the session: the upload on disk, and the newest previews
PREVIEWS_KEPT = 8
COLUMNS_SHOWN = 24  # whose role can be chosen here; the command line takes any number
TABLE_HEIGHT = 260

ENCODINGS = (
    "utf-8", "utf-16", "cp1252", "iso-8859-1", "iso-8859-15", "cp1250", "cp1251", "koi8-r", "gb18030", "big5",
    "shift_jis", "euc-kr",
)  # fmt: skip
FORMAT_NAMES = {
    "images": "Images", "imagefolder": "Image folder with metadata", "csv": "CSV", "tsv": "TSV",
    "jsonl": "JSON Lines", "parquet": "Parquet", "excel": "Excel", "label-studio": "Label Studio",
    "doccano": "doccano", "coco": "COCO",
}  # fmt: skip
DELIMITERS = {",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Bar", " ": "Space", ":": "Colon"}
ROLES: dict[ColumnRole, str] = {
    "text": "Text to label", "image": "Image to label", "field": "Field of the row", "label": "Known label",
    "id": "Name of the item", "meta": "Kept beside it", "ignore": "Left out",
}  # fmt: skip
OUTCOMES: dict[Labels, tuple[str, str]] = {
    "imported": ("Answers", "As if you had given them: the model learns from them, and they are in every export."),
    "oracle": ("An oracle", "Kept aside to replay labeling in simulations: never learned from and never shown."),
    "ignore": ("Nothing", "They are left out."),
}


class Chosen(NamedTuple):
    """A file or folder to import, and what people call it."""

    path: Path
    name: str


@st.dialog("Import", width="large", icon=":material/upload:")
def import_items(project_id: int) -> None:
    """Choose a file, see what it holds, and import it."""
    try:
        chosen = _choose(project_id)
        if chosen is None:
            return
        found = _corrected(project_id, chosen)
    except AskwiseError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if found is None:
        return
    preview, reading = found
    _show(preview)
    labels = _labels(preview)
    total = "" if preview.total is None else f" {preview.total:,}"
    if not st.button(
        f"Import{total} {KIND_WORDS[preview.kind]}", type="primary", icon=":material/upload:", key="import_begin",
        disabled=not preview.rows and not preview.refused,
    ):  # fmt: skip
        return
    try:
        request_import(
            current.workspace(), current.actor(), project_id, chosen.path,
            labels=labels, reading=reading, name=chosen.name,
        )  # fmt: skip
    except AskwiseError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.session_state.pop(SAVED, None)
    st.rerun()


def receive(upload: UploadedFile, project_id: int) -> Path:
    """Put an upload on disk under a name of ours."""
    with inbox.begin_upload(current.workspace(), current.actor(), project_id, upload.name) as arriving:
        shutil.copyfileobj(upload, arriving)
    return arriving.path


def _choose(project_id: int) -> Chosen | None:
    """An upload, or something of the import folder."""
    where = st.segmented_control(
        "Where it is", ["Upload", "Import folder"], default="Upload", label_visibility="collapsed",
        format_func=frame.quiet_choice, key=f"import_where_{project_id}",
    )  # fmt: skip
    if where == "Import folder":
        return _from_folder(project_id)
    upload = st.file_uploader(
        "A file of images, texts or rows", max_upload_size=UPLOAD_MB, key=f"import_upload_{project_id}"
    )
    if upload is None:
        st.caption(
            "Images: a zip or tar. Texts and tables: CSV, TSV, JSON Lines, Parquet, Excel. Exports of other tools: "
            "Label Studio, doccano, COCO, Hugging Face image folders."
        )
        return None
    saved: tuple[str, Path] | None = st.session_state.get(SAVED)
    if saved is None or saved[0] != upload.file_id or not saved[1].exists():
        saved = upload.file_id, receive(upload, project_id)
        st.session_state[SAVED] = saved
    return Chosen(saved[1], upload.name)


def _from_folder(project_id: int) -> Chosen | None:
    workspace, actor = current.workspace(), current.actor()
    names = inbox.list_folder(workspace, actor, project_id)
    if not names:
        folder = plain(str(inbox.import_folder(workspace)))
        st.caption(f"Nothing lies there yet. Put files or folders into {folder} on the server: no size is too large.")
        return None
    name = st.selectbox(
        "A file or folder", names, index=None, placeholder="Choose, or type a path inside the folder",
        accept_new_options=True, key=f"import_folder_{project_id}",
    )  # fmt: skip
    return None if name is None else Chosen(inbox.find_in_folder(workspace, actor, project_id, name), name)


def _corrected(project_id: int, chosen: Chosen) -> tuple[Preview, Reading] | None:
    """The preview as people have corrected it, and the reading that it takes; None where that cannot be read."""
    guessed = _preview(project_id, chosen, Reading())
    about = ", ".join(plain(word) for word in _in_short(guessed.reading))
    unsure = bool(guessed.notes) or not guessed.rows
    with st.expander(f"How it is read: {about}", expanded=unsure, icon=":material/tune:"):
        for note in guessed.notes:
            st.caption(f":material/info: {plain(note)}")
        reading = _structure(chosen, guessed.reading)
        try:
            structured = _preview(project_id, chosen, reading)
            if roles := _roles(chosen, structured, reading):
                reading = reading.model_copy(update={"roles": {**(structured.reading.roles or {}), **roles}})
            return _preview(project_id, chosen, reading), reading
        except AskwiseError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return None


def _in_short(guess: Reading) -> list[str]:
    delimiter = guess.delimiter and DELIMITERS.get(guess.delimiter, guess.delimiter).lower()
    return [word for word in (_format_name(guess.format), guess.encoding, delimiter, guess.sheet) if word]


def _format_name(format: str | None) -> str:
    return FORMAT_NAMES.get(format or "", format or "")


def _structure(chosen: Chosen, guess: Reading) -> Reading:
    """What people say of the file as a whole, as far as it differs from the guess."""
    key = f"import_{chosen.path.name}"
    told: dict[str, Any] = {}
    with st.grid("auto", min_column_width=150, gap="small") as grid:
        with grid.cell():
            options = list(dict.fromkeys([guess.format or FORMATS[0], *FORMATS]))
            told["format"] = st.selectbox("Format", options, format_func=_format_name, key=f"{key}_format")
        if guess.encoding is not None:
            with grid.cell():
                options = list(dict.fromkeys([guess.encoding, *ENCODINGS]))
                told["encoding"] = st.selectbox("Encoding", options, key=f"{key}_encoding", accept_new_options=True)
        if guess.delimiter is not None:
            with grid.cell():
                options = list(dict.fromkeys([guess.delimiter, *DELIMITERS]))
                told["delimiter"] = st.selectbox(
                    "Between cells", options, key=f"{key}_delimiter", format_func=lambda d: DELIMITERS.get(d, plain(d))
                )
        if guess.sheet is not None:
            with grid.cell():
                told["sheet"] = st.text_input("Sheet", guess.sheet, key=f"{key}_sheet")
        if guess.header is not None:
            with grid.cell():
                told["header"] = st.selectbox(
                    "First row", [guess.header, not guess.header], key=f"{key}_header",
                    format_func=lambda names: "Names of columns" if names else "Data like the others",
                )  # fmt: skip
    differs = {name: value for name, value in told.items() if value != getattr(guess, name)}
    if "format" in differs:  # the other guesses were of another format
        differs = {"format": differs["format"]}
    return Reading(**differs)


def _roles(chosen: Chosen, structured: Preview, reading: Reading) -> dict[str, ColumnRole]:
    """The roles of columns that people have changed."""
    guess = structured.reading.roles or {}
    if not structured.columns:
        return {}
    st.caption("What each column is")
    key = f"import_{chosen.path.name}_{reading.model_dump_json()}"
    changed: dict[str, ColumnRole] = {}
    with st.grid("auto", min_column_width=170, gap="small") as grid:
        for place, column in enumerate(structured.columns[:COLUMNS_SHOWN]):
            with grid.cell():
                given = guess.get(column, "ignore")
                role = st.selectbox(
                    plain(column[:60]) or "(no name)", get_args(ColumnRole), format_func=lambda r: ROLES[r],
                    index=get_args(ColumnRole).index(given), key=f"{key}_{place}",
                )  # fmt: skip
                if role != given:
                    changed[column] = cast(ColumnRole, role)
    if (more := len(structured.columns) - COLUMNS_SHOWN) > 0:
        st.caption(f"{more:,} more columns are read as guessed; `askwise import --role COLUMN=ROLE` changes any.")
    return changed


def _preview(project_id: int, chosen: Chosen, reading: Reading) -> Preview:
    """The preview of a file under a reading; the newest ones are kept."""
    about = chosen.path.stat()
    key = (str(chosen.path), about.st_mtime_ns, about.st_size, reading.model_dump_json())
    seen: dict[Any, Preview] = st.session_state.setdefault(SEEN, {})
    if key not in seen:
        found = preview_import(
            current.workspace(), current.actor(), project_id, chosen.path, reading, name=chosen.name
        )  # fmt: skip
        seen[key] = found
        for old in list(seen)[:-PREVIEWS_KEPT]:
            del seen[old]
    return seen[key]


def _show(preview: Preview) -> None:
    """The first rows as they would come in, and what would be refused of them."""
    if preview.rows:
        table = pd.DataFrame(as_table(preview)).astype("string")
        height = min(35 * len(table) + 38, TABLE_HEIGHT)
        st.dataframe(table, hide_index=True, height=height, alt="The first rows, as they come in")
    if preview.refused:
        with st.expander(
            f"{len(preview.refused):,} of the first {len(preview.rows) + len(preview.refused):,} cannot be taken",
            icon=":material/block:",
        ):
            for refused in preview.refused:
                line = "" if refused.line is None else f", line {refused.line:,}"
                st.caption(f"**{plain(refused.name)}{line}**  {plain(refused.why)}")


def _labels(preview: Preview) -> Labels:
    """What becomes of the labels that the file knows."""
    known = preview.classes or "label" in (preview.reading.roles or {}).values()
    if not known:
        return "ignore"
    names = ", ".join(preview.classes[:8]) + (" …" if len(preview.classes) > 8 else "")
    st.caption(f"It knows labels{': ' if names else '.'}{plain(names)}")
    options = list(OUTCOMES)
    return st.radio(
        "Known labels become", options, index=options.index("oracle"), key="import_labels",
        format_func=lambda o: OUTCOMES[o][0], captions=[OUTCOMES[o][1] for o in options],
    )  # fmt: skip
