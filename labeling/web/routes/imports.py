"""Pools in: uploads, previews and import jobs."""

from fastapi import FastAPI

from labeling.workspace import Workspace


def add_routes(api: FastAPI, workspace: Workspace) -> None:
    """Add the routes of this module."""
