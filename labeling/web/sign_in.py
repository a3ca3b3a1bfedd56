"""The pages by which people come in and go: signing in, following a link, signing out."""

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from labeling import accounts, invitations, signing_in
from labeling.attempts import TooMany
from labeling.db.engine import reading
from labeling.errors import AskwiseError, NotFound
from labeling.users import has_accounts, read_me
from labeling.web.auth import cookie_name, subject_of
from labeling.web.forms import field, files, form, guarded, hidden, link, page, paragraph
from labeling.web.peers import Caller
from labeling.web.provider import Pending, Provider
from labeling.workspace import Workspace

LARGEST = 20_000  # bytes of a form
AT_ONCE, IN_LINE = 2, 20  # passwords that are looked at, and that wait for it
KEPT_SECONDS = 600  # that somebody may take at the identity provider
UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
FOREIGN = (
    "This form came from another site, so nothing was done. If Askwise runs behind a proxy, its address has to be in "
    "ASKWISE_TRUSTED_PROXIES."
)
TOO_OLD = "This page was open for too long; go back, load it again, and send it once more."
FULL = "Many people are signing in at this moment; try again in a few seconds."

Handler = Callable[[Request, dict[str, str]], Awaitable[Response]]


def routes(workspace: Workspace, provider: Provider | None = None) -> list[Route]:
    """The pages, under `/sign-in`, `/sign-out` and `/join`."""
    pages = _Pages(workspace, provider)
    return [
        Route("/sign-in", pages.show),
        Route("/sign-in", pages.posted(pages.sign_in), methods=["POST"]),
        *files(),
        Route("/sign-in/provider", pages.posted(pages.to_provider), methods=["POST"]),
        Route("/sign-in/callback", pages.from_provider),
        Route("/sign-out", pages.show_out),
        Route("/sign-out", pages.posted(pages.sign_out), methods=["POST"]),
        Route("/join/{secret}", pages.show_link),
        Route("/join/{secret}", pages.posted(pages.accept), methods=["POST"]),
        Route("/join/{secret}/with", pages.posted(pages.join), methods=["POST"]),
    ]


def local_path(wanted: str) -> str:
    """Where a person wanted to go, if that is on this server; else the first page."""
    if UNSAFE.search(wanted) or not wanted.startswith("/") or wanted.startswith(("//", "/sign-")):
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc else quote(wanted, safe="/?&=%#:+,;@!$'()*~[]")


class _Pages:
    def __init__(self, workspace: Workspace, provider: Provider | None) -> None:
        self._workspace = workspace
        self._provider = provider
        self._hashing = CapacityLimiter(AT_ONCE)  # of its own, so that the API never waits for passwords

    def posted(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A handler of a form that this server showed to this very browser."""

        async def checked(request: Request) -> Response:
            token, caller = request.cookies.get(_form_cookie(request), ""), _caller(request)
            given = await _fields(request)
            if not caller.at_home:
                return page("That did not work", paragraph(FOREIGN, "error"), status=403)
            if given is None or not token or not secrets.compare_digest(
                given.get("form", "").encode(), token.encode()
            ):  # fmt: skip
                return page("That did not work", paragraph(TOO_OLD, "error"), link("Sign in", "/sign-in"), status=403)
            return await handler(request, given)

        return checked

    # Signing in

    async def show(self, request: Request) -> Response:
        """The sign-in page; whoever is signed in goes on at once."""
        wanted = local_path(request.query_params.get("next", "/"))
        if request.scope["askwise.actor"] is not None:
            return _to(wanted)
        notes = {"out": "You are signed out.", "ended": "You were signed out; sign in to go on."}
        note = next((note for name, note in notes.items() if name in request.query_params), "")
        return await self._sign_in_page(request, wanted, note=note)

    async def _sign_in_page(
        self, request: Request, wanted: str, *, note: str = "", error: str = "", name: str = "", status: int = 200
    ) -> Response:
        def some() -> bool:
            with reading(self._workspace.engine) as session:
                return has_accounts(session)

        caller, token = _caller(request), _form_token(request)
        parts = [paragraph(error, "error") if error else "", paragraph(note, "note") if note else ""]
        to = "'self'"
        if caller.user:
            parts.append(paragraph(f"The proxy says that you are “{caller.user}”, whom nobody has invited here yet."))
            parts.append(paragraph("Ask the owner of a project for a link.", "note"))
        elif self._provider is None and not await to_thread.run_sync(some):
            parts.append(paragraph("Nobody has an account here yet."))
            parts.append(
                "<p>Whoever runs this Askwise makes the first one, on the machine that it runs on: "
                "<code>askwise people add NAME</code></p>"
            )
        else:
            if self._provider is not None:
                button, to = await self._provider_button(token, hidden("next", wanted))
                parts += [button, '<p class="or">or</p>']
            fields = (
                hidden("next", wanted),
                field("Name", "name", complete="username", value=name),
                field("Password", "password", kind="password", complete="current-password"),
            )
            parts.append(form("/sign-in", token, "Sign in", *fields, kind="second" if self._provider else "first"))
            parts.append(paragraph("No account? Ask the owner of a project for a link.", "note beside"))
        return _with_token(request, page("Sign in", *parts, status=status, forms_to=to), token)

    async def sign_in(self, request: Request, given: dict[str, str]) -> Response:
        """Look at a name and a password."""
        wanted, name = local_path(given.get("next", "/")), given.get("name", "")
        try:
            secret = await self._dearly(
                lambda: signing_in.sign_in(
                    self._workspace, name, given.get("password", ""), address=_caller(request).address,
                    browser=_browser(request), instead_of=_cookie(request),
                )
            )  # fmt: skip
        except AskwiseError as error:
            status = 429 if isinstance(error, TooMany) else 403
            answer = await self._sign_in_page(request, wanted, error=str(error), name=name, status=status)
            if isinstance(error, TooMany):
                answer.headers["Retry-After"] = str(error.seconds)
            return answer
        return _signed_in(request, secret, wanted)

    async def _dearly(self, work: Callable[[], Any]) -> Any:
        """Do what hashes a password, two at once; a line that is too long is refused, so that memory stays bounded."""
        if self._hashing.statistics().tasks_waiting >= IN_LINE:
            raise _Full(FULL)
        return await to_thread.run_sync(work, limiter=self._hashing)

    # Signing out

    async def show_out(self, request: Request) -> Response:
        """Ask whether to sign out: a link that did it at once could be put into any page."""
        if request.scope["askwise.identity"] is None or request.scope["askwise.identity"].kind != "browser":
            return _to("/sign-in")
        token = _form_token(request)
        parts = (paragraph("What is saved stays saved."), form("/sign-out", token, "Sign out"), link("Back", "/"))
        return _with_token(request, page("Sign out?", *parts), token)

    async def sign_out(self, request: Request, _given: dict[str, str]) -> Response:
        """Sign this browser out."""
        await to_thread.run_sync(signing_in.sign_out, self._workspace, _cookie(request))
        answer = _to("/sign-in?out=1")
        _set(request, answer, cookie_name(_caller(request)), "", seconds=0)
        answer.headers["Clear-Site-Data"] = '"cache"'  # what this person saw is not the next one's
        return answer

    # Following a link

    async def show_link(self, request: Request) -> Response:
        """What a link offers."""
        return await self._link_page(request)

    async def _link_page(self, request: Request, *, error: str = "", name: str = "", status: int = 200) -> Response:
        secret = request.path_params["secret"]
        try:
            offered = await to_thread.run_sync(invitations.read_link, self._workspace, secret)
        except NotFound as gone:
            return page("This link is not valid", paragraph(str(gone)), link("Sign in", "/sign-in"), status=404)
        caller, token, to = _caller(request), _form_token(request), "'self'"
        password = field(
            "Password", "password", kind="password", complete="new-password",
            hint=f"At least {accounts.SHORTEST} characters. A few words in a row are easy to remember.",
        )  # fmt: skip
        again = field("The same once more", "again", kind="password", complete="new-password")
        parts = [paragraph(error, "error") if error else ""]
        if offered.resets is not None:
            title = "Choose a new password"
            parts.append(paragraph(f"For “{offered.resets}”. Every browser that is signed in has to sign in again."))
            user = f'<input type="hidden" name="name" value="" autocomplete="username">{password}{again}'
            parts.append(form(f"/join/{secret}", token, "Save and sign in", user))
            return _with_token(request, page(title, *parts, status=status), token)
        title = f"Join “{offered.project}”" if offered.project else "Join Askwise"
        parts.append(paragraph(_welcome(offered)))
        if caller.user:
            parts.append(form(f"/join/{secret}/with", token, f"Join as {caller.user}"))
        elif (me := request.scope["askwise.actor"]) is not None:
            mine = await to_thread.run_sync(_name_of, self._workspace, me)
            parts.append(form(f"/join/{secret}/with", token, f"Join as {mine}"))
            parts.append(link("Sign out first, to join as somebody else", "/sign-out"))
        else:
            if self._provider is not None:
                button, to = await self._provider_button(token, hidden("invitation", secret))
                parts += [button, '<p class="or">or</p>']
            hint = "Your team sees it beside your answers."
            name_field = field("Your name", "name", complete="username", value=name, hint=hint)
            kind = "second" if self._provider else "first"
            parts.append(form(f"/join/{secret}", token, "Make my account", name_field, password, again, kind=kind))
            parts.append(link("I have an account: sign in", f"/sign-in?next={quote(f'/join/{secret}', safe='')}"))
        return _with_token(request, page(title, *parts, status=status, forms_to=to), token)

    async def accept(self, request: Request, given: dict[str, str]) -> Response:
        """Make the account that a link offers, or set its password."""
        secret, name, password = request.path_params["secret"], given.get("name", ""), given.get("password", "")
        if password != given.get("again"):
            error = "The two passwords differ; type the same one twice."
            return await self._link_page(request, error=error, name=name, status=422)
        try:
            offered = await to_thread.run_sync(invitations.read_link, self._workspace, secret)
            user_id = await self._dearly(lambda: invitations.accept(self._workspace, secret, name, password))
        except AskwiseError as error:
            return await self._link_page(request, error=str(error), name=name, status=422)
        return await self._let_in(request, user_id, _first_page(offered))

    async def join(self, request: Request, _given: dict[str, str]) -> Response:
        """Join with the account that one has, or as whom the proxy says one is."""
        secret, caller, actor = request.path_params["secret"], _caller(request), request.scope["askwise.actor"]
        try:
            offered = await to_thread.run_sync(invitations.read_link, self._workspace, secret)
            if caller.user:
                accept_as = invitations.accept_as
                await to_thread.run_sync(accept_as, self._workspace, secret, subject_of(caller), caller.user)
            elif actor is not None:
                await to_thread.run_sync(invitations.join, self._workspace, secret, actor)
            else:
                return _to(f"/join/{quote(secret)}")
        except AskwiseError as error:
            return await self._link_page(request, error=str(error), status=422)
        return _to(_first_page(offered))

    async def _let_in(self, request: Request, user_id: int, wanted: str) -> Response:
        def let_in() -> str:
            return signing_in.let_in(
                self._workspace, user_id, browser=_browser(request), instead_of=_cookie(request)
            )  # fmt: skip

        return _signed_in(request, await to_thread.run_sync(let_in), wanted)

    # Through an identity provider

    async def _provider_button(self, token: str, *fields: str) -> tuple[str, str]:
        """The button, and where its form may lead."""
        assert self._provider is not None
        try:
            site = await self._provider.site()
        except AskwiseError as error:
            return paragraph(str(error), "error"), "'self'"
        return form("/sign-in/provider", token, f"Continue with {self._provider.name}", *fields), f"'self' {site}"

    async def to_provider(self, request: Request, given: dict[str, str]) -> Response:
        """Send somebody to the identity provider."""
        if self._provider is None:
            return _to("/sign-in")
        pending = Pending.new(local_path(given.get("next", "/")), given.get("invitation", ""))
        try:
            location = await self._provider.begin(pending, _callback(request))
        except AskwiseError as error:
            return await self._sign_in_page(request, pending.next, error=str(error), status=502)
        answer = RedirectResponse(location, 303, headers=guarded())
        _set(request, answer, _named(request, "provider"), pending.sealed(), seconds=KEPT_SECONDS)
        return answer

    async def from_provider(self, request: Request) -> Response:
        """Take in whoever comes back from the identity provider."""
        if self._provider is None:
            return _to("/sign-in")
        pending = Pending.opened(request.cookies.get(_named(request, "provider"), ""))
        wanted = local_path(pending.next) if pending is not None else "/"
        try:
            who = await self._provider.finish(pending, dict(request.query_params), _callback(request))
            assert pending is not None
            if pending.invitation:
                offered = await to_thread.run_sync(invitations.read_link, self._workspace, pending.invitation)
                accept_as = invitations.accept_as
                user_id = await to_thread.run_sync(
                    accept_as, self._workspace, pending.invitation, who.subject, who.name
                )
                answer = await self._let_in(request, user_id, _first_page(offered))
            else:

                def sign_in_as() -> str:
                    return signing_in.sign_in_as(
                        self._workspace, who.subject, who.name, admitted=who.admitted, browser=_browser(request),
                        instead_of=_cookie(request),
                    )  # fmt: skip

                answer = _signed_in(request, await to_thread.run_sync(sign_in_as), wanted)
        except AskwiseError as error:
            answer = await self._sign_in_page(request, wanted, error=str(error), status=403)
        _set(request, answer, _named(request, "provider"), "", seconds=0)
        return answer


class _Full(AskwiseError):
    """Too many passwords wait to be looked at."""


def _welcome(offered: invitations.Invited) -> str:
    if offered.project is None:
        return f"“{offered.invited_by}” invites you to this Askwise."
    what = {"annotator": "to label", "expert": "to label, and to settle what others disagree on", "owner": "to own it"}
    return f"“{offered.invited_by}” invites you {what[offered.role.value]}."


def _first_page(offered: invitations.Invited) -> str:
    return "/" if offered.project_id is None else f"/label?project={offered.project_id}"


def _name_of(workspace: Workspace, user_id: int) -> str:
    return read_me(workspace, user_id).name


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope["askwise.caller"]
    return caller


def _cookie(request: Request) -> str:
    return request.cookies.get(cookie_name(_caller(request)), "")


def _browser(request: Request) -> str:
    return request.headers.get("user-agent", "")[:500]


def _callback(request: Request) -> str:
    return f"{_caller(request).url}/sign-in/callback"


def _named(request: Request, what: str) -> str:
    return f"{cookie_name(_caller(request))}-{what}"


def _form_cookie(request: Request) -> str:
    return _named(request, "form")


def _form_token(request: Request) -> str:
    """The browser's own token, which no other site can read: a new one where it has none."""
    return request.cookies.get(_form_cookie(request), "") or secrets.token_urlsafe(32)


def _with_token(request: Request, answer: Response, token: str) -> Response:
    if request.cookies.get(_form_cookie(request)) != token:
        _set(request, answer, _form_cookie(request), token)
    return answer


def _set(request: Request, answer: Response, name: str, value: str, *, seconds: int | None = None) -> None:
    secure = _caller(request).secure
    answer.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax")


def _signed_in(request: Request, secret: str, wanted: str) -> Response:
    answer = _to(wanted)
    _set(request, answer, cookie_name(_caller(request)), secret, seconds=int(signing_in.LONGEST_SECONDS))
    return answer


def _to(path: str) -> Response:
    return RedirectResponse(path, 303, headers=guarded())


async def _fields(request: Request) -> dict[str, str] | None:
    """What a form says; None where it is no form, or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            return None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20, errors="strict"))
    except ValueError:
        return None
