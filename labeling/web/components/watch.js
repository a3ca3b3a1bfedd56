// Leaves the page for the sign-in page as soon as nobody is signed in here any more, whatever ended it.

const ASKED_EVERY = 5_000; // ms, while the page is seen
const SIGN_IN = "/sign-in";

function leave(signedOut) {
  const here = location.pathname + location.search;
  location.assign(signedOut ? `${SIGN_IN}?out=1` : `${SIGN_IN}?ended=1&next=${encodeURIComponent(here)}`);
}

async function ask() {
  if (document.visibilityState !== "visible") return;
  try {
    const answer = await fetch("/api/v1/me", { credentials: "same-origin", signal: AbortSignal.timeout(ASKED_EVERY) });
    if (answer.status === 401) leave(false);
  } catch {
    // The server is away; the page says that by itself.
  }
}

const watches = new WeakMap(); // parentElement -> AbortController

export default function ({ data, parentElement }) {
  if (data.left) return leave(true);
  if (!watches.has(parentElement)) {
    const watch = new AbortController();
    const timer = setInterval(ask, ASKED_EVERY);
    watch.signal.addEventListener("abort", () => clearInterval(timer));
    document.addEventListener("visibilitychange", ask, { signal: watch.signal });
    watches.set(parentElement, watch);
  }
  return () => {
    watches.get(parentElement)?.abort();
    watches.delete(parentElement);
  };
}
