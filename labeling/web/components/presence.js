// What a page of work hears beside its own buttons: keys, the network, and its tab being hidden, seen again and left.

class Presence {
  #hiddenAt = null;
  #page;

  // page: { root, stroke(event) -> what the key does or null, online(), unsaved() -> bool, hidden(), seen(ms), left(),
  //   restored() }
  constructor(signal, page) {
    this.#page = page;
    // Captured at the window: before Streamlit's own one-letter shortcuts can see a class key.
    window.addEventListener("keydown", (event) => this.#key(event), { capture: true, signal });
    window.addEventListener("online", () => page.online(), { signal });
    window.addEventListener("beforeunload", (event) => this.#guard(event), { signal });
    window.addEventListener("pagehide", () => page.left(), { signal });
    window.addEventListener("pageshow", (event) => event.persisted && page.restored(), { signal });
    document.addEventListener("visibilitychange", () => this.#turn(document.visibilityState === "visible"), { signal });
  }

  // For how many ms the tab has been hidden; 0 while it is seen.
  get hiddenFor() {
    return this.#hiddenAt === null ? 0 : performance.now() - this.#hiddenAt;
  }

  #key(event) {
    if (event.isComposing || document.visibilityState !== "visible") return;
    const path = event.composedPath().filter((node) => node instanceof Element);
    if (path.some((node) => node.matches(ELSEWHERE))) return;
    const onControl = path.some((node) => node.matches("button, a[href], summary, [type=checkbox]"));
    if (onControl && (event.key === "Enter" || event.key === " ")) {
      // The control takes it, but a held key presses once.
      if (event.repeat && path.includes(this.#page.root)) event.preventDefault();
      return;
    }
    const action = this.#page.stroke(event);
    if (!action) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    action();
  }

  #turn(visible) {
    if (visible) {
      const away = this.hiddenFor;
      this.#hiddenAt = null;
      this.#page.seen(away);
    } else {
      this.#hiddenAt = performance.now();
      this.#page.hidden();
    }
  }

  #guard(event) {
    if (!this.#page.unsaved()) return;
    event.preventDefault();
    event.returnValue = true; // for browsers that know only this way to ask
  }
}
