"""Small pictures of items, as the pages show them."""

import io
from pathlib import Path

import streamlit as st
from PIL import Image

from labeling.delivery.media import media_file
from labeling.web import current

SIDE = 128  # pixels


def thumbnail(item_id: int) -> bytes:
    """The image of an item of the acting user's, small.

    Raises
    ------
    NotFound
        If there is none.
    """
    return _of_file(media_file(current.workspace(), current.actor(), item_id, SIDE).path)


@st.cache_data(max_entries=2000, show_spinner=False)
def _of_file(path: Path) -> bytes:
    """An image as it is shown: a tiny one enlarged by whole pixels, as browsers would blur it."""
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        times = SIDE // max(image.size)
        if times < 2:
            return data
        large = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
        out = io.BytesIO()
        large.save(out, "PNG")
        return out.getvalue()
