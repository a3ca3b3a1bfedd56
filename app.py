"""`streamlit run app.py` serves Askwise on the workspace that ASKWISE_WORKSPACE names."""

import streamlit as st

from labeling.web.server import app_options

app = st.App(**app_options())
