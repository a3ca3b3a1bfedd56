"""The few pages that are there before somebody is signed in: plain HTML without a script, in the look of the app.

Whatever comes from people is escaped in `text`, and nowhere put into a page by other ways.
"""

import base64
import hashlib
from html import escape as text
from pathlib import Path

from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action {forms}; base-uri 'none'; frame-ancestors 'none'"
)
FILES = {"look.css": HERE / "sign_in.css", "wordmark.svg": HERE / "wordmark.svg", "mark.svg": HERE / "mark.svg"}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Askwise</title>
<link rel="icon" href="/sign-in/mark.svg">
<link rel="stylesheet" href="/sign-in/look.css?{version}">
</head>
<body>
<main>
<img class="wordmark" src="/sign-in/wordmark.svg" alt="Askwise" width="147" height="35">
<section>
<h1>{title}</h1>
{body}
</section>
</main>
</body>
</html>
"""


def _version() -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(FILES["look.css"].read_bytes()).digest()[:6]).decode()


def page(title: str, *parts: str, status: int = 200, forms_to: str = "'self'") -> HTMLResponse:
    """A page with these parts, which are HTML; the title is text.

    Parameters
    ----------
    forms_to
        Where its forms may lead, redirects of them too, as a Content-Security-Policy names it.
    """
    body = PAGE.format(title=text(title), body="\n".join(part for part in parts if part), version=_version())
    return HTMLResponse(body, status, headers=guarded(forms_to))


def guarded(forms_to: str = "'self'") -> dict[str, str]:
    """Headers of a page that is kept nowhere, shown in no other site's frame, and tells no other site its address."""
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": POLICY.format(forms=forms_to),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }


def paragraph(sentence: str, kind: str = "") -> str:
    """A sentence; of the kind `error` it is read out at once."""
    role = ' role="alert"' if kind == "error" else ""
    return f'<p class="{kind}"{role}>{text(sentence)}</p>' if kind else f"<p>{text(sentence)}</p>"


def form(action: str, token: str, button: str, *fields: str, kind: str = "first") -> str:
    """A form with one button, and the token that shows that it was this server's."""
    return (
        f'<form method="post" action="{text(action)}"><input type="hidden" name="form" value="{text(token)}">'
        f'{"".join(fields)}<button class="{kind}">{text(button)}</button></form>'
    )


def field(label: str, name: str, *, kind: str = "text", complete: str, value: str = "", hint: str = "") -> str:
    """A labelled input; `complete` is what a browser may fill it with."""
    limits = {"password": 'maxlength="1000"', "text": 'maxlength="200" autocapitalize="none" spellcheck="false"'}[kind]
    below = f'<small id="{name}-hint">{text(hint)}</small>' if hint else ""
    described = f' aria-describedby="{name}-hint"' if hint else ""
    return (
        f'<label for="{name}">{text(label)}</label>{below}<input id="{name}" name="{name}" type="{kind}" {limits} '
        f'value="{text(value)}" autocomplete="{complete}" required{described}>'
    )


def hidden(name: str, value: str) -> str:
    """A value that goes along with a form."""
    return f'<input type="hidden" name="{name}" value="{text(value)}">'


def link(label: str, href: str) -> str:
    """A link to a page of this server."""
    return f'<p class="beside"><a href="{text(href)}">{text(label)}</a></p>'


def files() -> list[Route]:
    """The look of these pages."""
    return [Route(f"/sign-in/{name}", _serving(path)) for name, path in FILES.items()]


def _serving(path: Path):  # type: ignore[no-untyped-def]
    async def served(_request: object) -> Response:
        headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
        return FileResponse(path, headers=headers)

    return served
