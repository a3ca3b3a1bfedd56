"""Account: who one is here, one's password, the browsers that are signed in, and one's API tokens."""

import streamlit as st

from labeling import accounts, signing_in, users
from labeling.accounts import SHORTEST
from labeling.errors import AskwiseError
from labeling.web import current, frame
from labeling.web.frame import ago, plain, quiet

TOKEN, LEFT, DONE, ERROR = "account_token", "account_left", "account_done", "account_error"


def sign_out() -> None:
    """End this browser's sign-in; the page then goes to the sign-in page."""
    signing_in.end_sign_in(current.workspace(), current.actor(), current.identity().key)
    st.session_state[LEFT] = True


def end(kind: str, key: int) -> None:
    """End another browser's sign-in, or a token."""
    try:
        (signing_in.end_sign_in if kind == "browser" else users.end_token)(current.workspace(), current.actor(), key)
    except AskwiseError as error:
        st.session_state[ERROR] = str(error)


def make_token() -> None:
    """Make a token, shown once."""
    st.session_state[TOKEN] = users.make_token(current.workspace(), current.actor())


def password() -> None:
    """Change one's password."""
    st.subheader("Password", anchor=False)
    quiet("A new one signs your other browsers out and ends your API tokens.")
    with st.form("password", border=False, clear_on_submit=True):
        old = st.text_input("The old one", type="password", autocomplete="current-password")
        new = st.text_input(
            "The new one", type="password", autocomplete="new-password",
            help=f"At least {SHORTEST} characters. A few words in a row are easy to remember.",
        )  # fmt: skip
        again = st.text_input("The new one once more", type="password", autocomplete="new-password")
        if not st.form_submit_button("Change password"):
            return
    if new != again:
        st.error("The two new passwords differ; type the same one twice.", icon=":material/error:")
        return
    here = current.identity()
    try:
        accounts.change_password(
            current.workspace(), current.actor(), old, new, address=current.address(),
            keep=here.key if here.kind == "browser" else None,
        )  # fmt: skip
    except AskwiseError as error:
        st.error(plain(str(error)), icon=":material/error:")
    else:
        st.success(
            "Changed. Your other browsers have to sign in again; your API tokens have ended.", icon=":material/check:"
        )


def browsers() -> None:
    """Where one is signed in."""
    st.subheader("Signed in", anchor=False)
    here = current.identity()
    for each in signing_in.list_sign_ins(current.workspace(), current.actor()):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            mine = here.kind == "browser" and here.key == each.id
            with st.container(gap=None, width="content"):
                st.markdown(plain(each.browser))
                quiet("This browser" if mine else f"Heard of {ago(each.seen)} ago")
            if not mine:
                st.button("Sign out", key=f"browser_{each.id}", on_click=end, args=("browser", each.id))


def tokens() -> None:
    """One's API tokens."""
    st.subheader("API tokens", anchor=False)
    quiet("A program that has one acts as you. Each is shown once, and works until you end it.")
    if made := st.session_state.pop(TOKEN, None):
        st.code(made, language=None)
        quiet("Copy it now: it is not kept here.")
    for each in users.list_tokens(current.workspace(), current.actor()):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"Token {each.id}, made {ago(each.created)} ago", width="content")
            st.button("End", key=f"token_{each.id}", on_click=end, args=("token", each.id))
    st.button("Make a token", icon=":material/key:", on_click=make_token)


me = users.read_me(current.workspace(), current.actor())
with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    st.title(plain(me.name), anchor=False, width="content")
    if current.identity().kind == "browser":
        st.button("Sign out", icon=":material/logout:", on_click=sign_out)
if error := st.session_state.pop(ERROR, None):
    st.error(plain(error), icon=":material/error:")
if not me.accounts:
    st.info(frame.ALONE, icon=":material/computer:")
left, right = st.columns(2)
if me.password:
    with left, st.container(border=True):
        password()
with right if me.password else left:
    if me.account:
        with st.container(border=True):
            browsers()
    with st.container(border=True):
        tokens()
