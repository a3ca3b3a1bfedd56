"""The page under test: the labeller, with a text input and a switch beside it where a test wants them."""

import streamlit as st

from labeling.web.components.labeller import labeller

WORDS = [
    "Meadow",
    "Forest",
    "River bank",
    "Industrial building",
    "Motorway",
    "Orchard",
    "Residential area",
    "Sea or lake",
]
GUIDELINES = "Label what the picture shows, not what it should show.\nA digit that cannot be read is unsure."

st.set_page_config(page_title="Labeller", layout="wide")
kind = st.query_params.get("classes", "digits")
if kind == "digits":
    classes = [{"id": 100 + digit, "name": str(digit), "key": str(digit)} for digit in range(10)]
elif kind == "letters":
    classes = [{"id": 100 + i, "name": name, "key": name[0].lower()} for i, name in enumerate(["Cat", "Rabbit", "Yak"])]
else:
    names = WORDS if kind == "words" else [f"{word} {number}" for number in range(1, 6) for word in WORDS]
    classes = [{"id": 100 + i, "name": name, "key": None} for i, name in enumerate(names)]
if "about" in st.query_params:
    for each in classes:
        about = {"colour": "#d62728", "description": f"What is called {each['name']}.", "examples": [3, 4]}
        each.update(about)
guidelines = GUIDELINES
if "input" in st.query_params:
    guidelines += st.text_input("Elsewhere")
if "toggle" not in st.query_params or st.toggle("Labeller", value=True):
    labeller({"id": 1, "name": "Pool", "guidelines": guidelines, "classes": classes}, key="labeller")
