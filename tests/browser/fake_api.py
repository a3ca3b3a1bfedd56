"""A small in-memory stand-in for the API, with faults on order, and the app that shows the labeller on it.

`streamlit run tests/browser/fake_api.py` serves both. `POST /api/v1/fake` starts a new pool, `PATCH` changes its
faults, `GET` reads what was saved.
"""

import asyncio
import time
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image
from sklearn.datasets import load_digits
from starlette.routing import Mount

LEASE = 120.0
NO_LEASE = {"token": "", "state": "released"}
ASSIGNMENTS = count(1)  # never the same in two pools: pages of the last one may still be saying goodbye
TEXT = "<b>The pump</b> rattled again this morning, & nobody came. " * 3


@dataclass
class Pool:
    """What the fake holds, and how it misbehaves: `fail` and `delay` by endpoint, `refuse` as a count of answers."""

    items: int = 30
    kind: str = "digits"
    classes: int = 10
    ranked_every: int = 0  # labels between two rankings; 0: never
    media_delay: float = 0.0
    delay: dict[str, float] = field(default_factory=dict)
    fail: dict[str, int] = field(default_factory=dict)  # how many times more
    refuse: int = 0
    text: str = TEXT
    repeat: int = 1  # of the text
    keywords: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    shown_first: int | None = None
    schema: list[dict[str, Any]] = field(default_factory=list)  # the classes as they are now, where they were changed
    schema_version: int = 1
    started: str = ""
    ranking: int = 1
    leases: dict[int, dict[str, Any]] = field(default_factory=dict)  # assignment id -> lease
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)  # event id -> answer
    undone: dict[str, str] = field(default_factory=dict)  # event id of the undo -> of the answer
    seen: list[str] = field(default_factory=list)  # the endpoints called

    def standing(self) -> list[dict[str, Any]]:
        return [answer for event_id, answer in self.answers.items() if event_id not in self.undone.values()]

    def live(self) -> dict[str, Any]:
        labels = len(self.standing())
        trained = self.ranking > 1
        return {
            "model_version": self.ranking if trained else None,
            "ranking": self.ranking,
            "accuracy": 0.91 if trained else None,
            "accuracy_on": 40,
            "labels": labels,
            "items": self.items,
            "ranked": time.time(),
            "learning": bool(self.ranked_every) and labels % 4 != 0,
            "message": "",
            "schema_version": self.schema_version,
        }

    def lease(self, item: int, client: str) -> dict[str, Any]:
        assignment = next(ASSIGNMENTS)
        self.leases[assignment] = {
            "item": item,
            "client": client,
            "token": f"token-{assignment}",
            "state": "leased",
            "ranking": self.ranking,
        }
        return self.claim(assignment)

    def claim(self, assignment: int) -> dict[str, Any]:
        lease = self.leases[assignment]
        item, ranking = lease["item"], lease["ranking"]
        pictured = self.kind in ("digits", "photos", "large")
        fields = {"Site": "Harbour", "Depth (m)": 4.5, "Remark": TEXT, "Checked": None, **self.fields}
        return {
            "assignment_id": assignment,
            "token": lease["token"],
            "expires": time.time() + LEASE,
            "item": {
                "id": item,
                "external_id": f"{self.kind}-{item:04}",
                "text": self.text * self.repeat if self.kind == "text" else None,
                "fields": fields if self.kind == "fields" else None,
                "shown_first": self.shown_first,
            },
            "media_url": f"/api/v1/items/{item}/media?pool={self.started}" if pictured else None,
            "reason": "strategy",
            "why": "torn between 3 and 8" if ranking > 1 else "a typical item",
            "utility": 0.9,
            "suggestion": {"class_id": 100 + item % self.classes, "confidence": 0.54} if ranking > 1 else None,
            "keywords": self.keywords,
            "model_version": ranking if ranking > 1 else None,
            "ranking": ranking,
        }

    def taken(self) -> set[int]:
        leased = {lease["item"] for lease in self.leases.values() if lease["state"] == "leased"}
        return leased | {answer["item"] for answer in self.standing()}


pool = Pool()
api = FastAPI()
DIGITS = load_digits()


@api.middleware("http")
async def misbehave(request: Request, go_on: Any) -> Response:
    name = request.url.path.removeprefix("/api/v1/").split("/")[-1]
    if request.method == "POST" and name != "fake":
        pool.seen.append(name)
        await asyncio.sleep(pool.delay.get(name, 0.0))
        if request.headers.get("x-askwise") != "1" or request.headers.get("content-type") != "application/json":
            return JSONResponse({"detail": "This request did not come from Askwise."}, 403)
        if pool.fail.get(name, 0) > 0:
            pool.fail[name] -= 1
            return JSONResponse({"detail": "The database is busy."}, 500)
    response: Response = await go_on(request)
    return response


@api.post("/fake")
async def start(settings: dict[str, Any]) -> dict[str, Any]:
    global pool
    pool = Pool(**settings, started=str(time.time_ns()))
    return {}


@api.patch("/fake")
async def adjust(settings: dict[str, Any]) -> dict[str, Any]:
    for name, value in settings.items():
        setattr(pool, name, value)
    return {}


@api.get("/fake")
async def state() -> dict[str, Any]:
    leases = [lease for lease in pool.leases.values() if lease["state"] == "leased"]
    return {
        "standing": pool.standing(),
        "leased": [lease["item"] for lease in leases],
        "rankings": [lease["ranking"] for lease in leases],
        "seen": pool.seen,
    }


@api.get("/projects/1")
async def project() -> Any:
    if not pool.schema:
        return JSONResponse({"detail": "Nobody has changed the classes."}, 404)
    return {"classes": pool.schema, "guidelines": "As the classes are now.", "live": pool.live()}


@api.post("/projects/1/claims")
async def claims(body: dict[str, Any]) -> dict[str, Any]:
    for assignment in body["release"]:
        pool.leases[assignment]["state"] = "released"
    own = [
        assignment
        for assignment, lease in pool.leases.items()
        if body["resume"] and lease["client"] == body["client"] and lease["state"] == "leased"
    ]
    given = [pool.claim(assignment) for assignment in own]
    free = [item for item in range(pool.items) if item not in pool.taken()]
    given += [pool.lease(item, body["client"]) for item in free[: max(0, body["count"] - len(given))]]
    answered = {answer["item"] for answer in pool.standing()}
    held = {lease["item"] for lease in pool.leases.values() if lease["state"] == "leased"}
    others = {lease["item"] for lease in pool.leases.values() if lease["client"] != body["client"]} & held
    free_now = set(range(pool.items)) - held - answered
    return {"claims": given, "live": pool.live(), "remaining": len(others | free_now)}


def save(answer: dict[str, Any]) -> dict[str, Any]:
    event_id = answer["event_id"]
    if event_id in pool.answers:
        return {"event_id": event_id, "status": "repeated", "why": ""}
    if pool.refuse > 0:
        pool.refuse -= 1
        return {"event_id": event_id, "status": "refused", "why": "This item has been answered by somebody else."}
    if pool.schema and answer["verdict"] == "label" and answer["class_id"] not in [each["id"] for each in pool.schema]:
        return {"event_id": event_id, "status": "refused", "why": "The class was retired; choose another."}
    lease = pool.leases.get(answer["assignment_id"], NO_LEASE)
    if lease["token"] != answer["token"] or lease["state"] != "leased":
        return {"event_id": event_id, "status": "refused", "why": "This item was given back."}
    lease["state"] = "answered"
    pool.answers[event_id] = {**answer, "item": lease["item"]}
    if pool.ranked_every and len(pool.standing()) % pool.ranked_every == 0:
        pool.ranking += 1
    return {"event_id": event_id, "status": "saved", "why": ""}


@api.post("/annotations")
async def annotations(body: dict[str, Any]) -> dict[str, Any]:
    return {"annotations": [save(answer) for answer in body["annotations"]], "live": pool.live()}


@api.post("/annotations/{event_id}/undo")
async def undo(event_id: str, body: dict[str, Any]) -> Any:
    if body["event_id"] in pool.undone:
        return {"status": "repeated", "why": "", "claim": None}
    if event_id not in pool.answers:
        return JSONResponse({"detail": "There is no answer of yours with this id."}, 404)
    pool.undone[body["event_id"]] = event_id
    claim = pool.lease(pool.answers[event_id]["item"], body["client"])
    return {"status": "undone", "why": "", "claim": claim, "live": pool.live()}


@api.post("/projects/1/leases/renew")
async def renew(body: dict[str, Any]) -> dict[str, Any]:
    ids = body["assignment_ids"]
    lost = [assignment for assignment in ids if pool.leases.get(assignment, NO_LEASE)["state"] == "released"]
    renewed = [assignment for assignment in ids if assignment not in lost]
    return {"renewed": renewed, "lost": lost, "expires": time.time() + LEASE, "live": pool.live()}


@api.post("/projects/1/leases/release")
async def release(body: dict[str, Any]) -> dict[str, Any]:
    for assignment in pool.leases.keys() & set(body["assignment_ids"]):
        pool.leases[assignment]["state"] = "released"
    return {}


@api.get("/items/{item}/media")
async def media(item: int) -> Response:
    await asyncio.sleep(pool.media_delay)
    if pool.kind == "digits":
        image = Image.fromarray((255 - DIGITS.images[item] * 15.9).astype("uint8"))
    else:
        height, width = (1536, 2048) if pool.kind == "large" else (384, 512)
        row, column = np.mgrid[0:height, 0:width]
        image = Image.fromarray(
            np.stack([row * 255 // height, column * 255 // width, (row + column + 40 * item) % 256], 2).astype("uint8")
        )
    png = BytesIO()
    image.save(png, "PNG", compress_level=1)
    return Response(png.getvalue(), media_type="image/png")


app = st.App(Path(__file__).with_name("fake_page.py"), routes=[Mount("/api/v1", app=api)])
