// What the labeller looks like: the item on the left, the answers on the right, how things stand above.

const COMMANDS = [
  { name: "skip", label: "Skip", sign: "→", keys: "ArrowRight Shift+ArrowRight", title: "Leave this item to others" },
  { name: "unsure", label: "Unsure", sign: "↓", keys: "ArrowDown Shift+ArrowDown", title: "Say that it cannot be told" },
  { name: "undo", label: "Undo", sign: "⌫", keys: "Backspace Control+Z", title: "Take the last answer back" },
  { name: "note", label: "Note", sign: ".", keys: ".", title: "Write a note with this answer" },
  { name: "flag", label: "Flag", sign: "!", keys: "!", title: "Mark this item for a second look" },
];
const LETTERS = { key: "askwise:letters", least: 0.7, most: 2.5, step: 0.1 }; // how large texts are, 1: as designed

class View {
  #on;
  #project = { classes: [], guidelines: "" };
  #letters = 1;
  #scrolled = false; // the frame: asking it would lay out the page before the next item is on it

  // on: { answer(verdict, class id, event), accept(event), command(name, event), find(), like(), retry() }
  constructor(root, { api, on }) {
    this.#on = on;
    this.status = new Status();
    this.frame = make("div", { class: "frame", tabindex: "0", role: "group", "aria-label": "The item itself" });
    this.frame.addEventListener("scroll", () => (this.#scrolled = true), { passive: true });
    this.frame.addEventListener("click", () => this.settle()); // something was unfolded
    new ResizeObserver(() => this.settle()).observe(this.frame);
    this.viewer = new Viewer(this.frame, () => this.settle());
    this.meaning = make("span", { class: "mark-meaning" });
    this.reader = this.#readingTools();
    this.caption = make("div", { class: "caption" });
    this.likeThis = make("button", { class: "ask like-this", type: "button", onclick: () => on.like() }, "Find like this");
    this.likeThis.setAttribute("aria-keyshortcuts", "*");
    this.likeThis.append(cap("*"));
    this.sentBack = make("p", { class: "sent-back", role: "status", dir: "auto", hidden: true });
    const parts = [this.sentBack, this.frame, this.viewer.tools, this.reader, this.caption];
    const stage = make("section", { class: "stage", "aria-label": "Item to label" }, ...parts);

    this.suggestion = make("button", { class: "suggestion", type: "button", onclick: (event) => on.accept(event) });
    this.unsuggested = make("div", { class: "unsuggested" });
    this.suggestionRow = make("div", { class: "suggestion-row" }, this.suggestion, this.unsuggested);
    this.classes = new Classes({ answer: (id, event) => on.answer("label", id, event), find: () => on.find() });
    this.commands = make("div", { class: "commands", role: "group", "aria-label": "Other answers" });
    for (const { name, label, sign, keys, title } of COMMANDS) {
      const button = make(
        "button",
        { class: "command", type: "button", title, "aria-keyshortcuts": keys, "data-command": name },
        cap(sign),
        make("span", {}, label),
      );
      button.addEventListener("click", (event) => on.command(name, event));
      this.commands.append(button);
    }
    this.note = make("textarea", {
      class: "note",
      rows: "2",
      maxlength: "2000",
      hidden: true,
      placeholder: "A note with your answer. Enter keeps it, Esc throws it away.",
      "aria-label": "Note with your answer",
      onkeydown: (event) => this.#noteKey(event),
    });
    this.guidelines = make("p", { dir: "auto" });
    this.told = make("details", { class: "guide", open: true }, make("summary", {}, "Guidelines"), this.guidelines);
    const media = (item) => `${api}/items/${item}/media`;
    this.guide = new Guide(media, () => this.#tell());
    this.help = new Help(media);
    const help = make("button", { class: "ask", type: "button", onclick: () => this.toggleHelp() }, "Keys and guidelines");
    help.setAttribute("aria-keyshortcuts", "?");
    help.append(cap("?"));
    const panel = make(
      "section",
      { class: "panel", "aria-label": "Your answer" },
      this.suggestionRow,
      this.classes.search.input,
      this.classes.search.list,
      this.classes.grid,
      this.commands,
      this.note,
      this.status.trouble,
      this.status.notice,
      this.told,
      this.guide.button,
      help,
    );

    const work = make("div", { class: "work" }, stage, panel, this.guide.root);
    const { top, message, speech } = this.status;
    this.root = make("div", { class: "askwise" }, top, message, work, speech, this.help.dialog);
    // A click must not leave the focus on a button, or the next Enter would press it again.
    this.root.addEventListener("mousedown", (event) => event.target.closest("button") && event.preventDefault());
    root.append(this.root);
  }

  // The classes and what is said about them. The item, a note half written, and where it is scrolled to, stay.
  showProject({ classes, guidelines, suggestions, recent }) {
    this.classes.show(classes, recent);
    this.#project = { classes: this.classes.all, guidelines };
    this.suggestionRow.hidden = !suggestions;
    this.guidelines.textContent = guidelines;
    this.guide.show(this.#project);
    this.#tell();
    if (this.help.isOpen) this.help.show(this.#project);
  }

  // The item. `locked`: it is being taken back and cannot be answered yet. `suggested`: { class_id, name, confidence }.
  showItem(ask, { suggested, earlier, locked = false }) {
    const { item, why } = ask.claim;
    const keywords = (suggested && ask.claim.keywords) || [];
    if (this.#scrolled) this.frame.scrollTo(0, 0);
    this.#scrolled = false;
    this.frame.replaceChildren(...content(ask, keywords, () => this.#on.retry()));
    this.viewer.show(ask.image);
    this.reader.hidden = !item.text && !item.fields;
    this.meaning.hidden = !this.frame.querySelector("mark");
    const returned = ask.claim.reason === "review";
    this.#showSentBack(returned && !locked ? why : "");
    const asked = why && !returned ? [make("span", {}, "Why this one: "), why] : [];
    const reason = locked ? ["Taking your answer back…"] : asked;
    this.caption.replaceChildren(
      make("span", { class: "why" }, ...reason),
      ...(locked ? [] : [this.likeThis]),
      make("span", { class: "external", title: item.external_id }, item.external_id),
    );
    this.root.classList.toggle("locked", locked);
    this.unsuggested.textContent = locked ? "" : "No suggestion for this one";
    this.mark(suggested, earlier);
    this.flag(false);
    this.note.value = "";
    this.closeNote();
    this.#enable(!locked && !ask.broken, !locked);
  }

  // After the paint: what the arrows do depends on whether the item is larger than its frame.
  settle() {
    this.root.classList.toggle("zoomed-in", this.viewer.isZoomed);
    this.root.classList.toggle("scrolls", this.viewer.isZoomed || overflows(this.frame));
  }

  // A step of zoom where there is a picture, else of the letters.
  magnify(step) {
    if (!this.viewer.tools.hidden) return this.viewer.zoom(ZOOM_STEP ** step);
    this.#setLetters(this.#letters + step * LETTERS.step);
    attempt(() => localStorage.setItem(LETTERS.key, String(this.#letters)));
  }

  unfold() {
    unfold(this.frame);
    this.settle();
  }

  toggleHelp() {
    this.help.toggle(this.#project);
  }

  showWaiting() {
    this.frame.replaceChildren(skeleton());
    this.#blank();
  }

  showEmpty(heading, sentence) {
    const again = make("button", { class: "again", type: "button", onclick: () => this.#on.retry() }, "Look again");
    const message = make("div", { class: "empty" }, make("h3", {}, heading), make("p", {}, sentence), again);
    this.frame.replaceChildren(message);
    this.#blank();
  }

  flag(on) {
    const button = this.commands.querySelector("[data-command=flag]");
    button.setAttribute("aria-pressed", String(on));
  }

  openNote() {
    this.note.hidden = false;
    this.note.focus();
  }

  closeNote() {
    this.note.hidden = !this.note.value;
    this.note.blur();
    this.commands.querySelector("[data-command=note]").setAttribute("aria-pressed", String(Boolean(this.note.value)));
  }

  // What the model suggests for the item, and what the person answered to it before.
  mark(suggested, earlier) {
    this.classes.mark(suggested?.class_id ?? null, earlier?.verdict === "label" ? earlier.class_id : null);
    for (const button of this.commands.children) {
      button.classList.toggle("earlier", earlier != null && earlier.verdict === button.dataset.command);
    }
    this.suggestion.hidden = !suggested;
    this.unsuggested.hidden = Boolean(suggested);
    if (!suggested) {
      for (const word of this.frame.querySelectorAll("mark")) word.replaceWith(word.textContent);
      this.meaning.hidden = true;
      return;
    }
    this.meaning.replaceChildren(make("mark", {}, "Marked"), ` speaks for ${suggested.name}`);
    const share = percent(suggested.confidence);
    this.suggestion.setAttribute("aria-keyshortcuts", "Enter");
    this.suggestion.replaceChildren(
      make("span", {}, "Model thinks ", make("strong", {}, suggested.name), ` · ${share}`),
      cap("Enter"),
    );
  }

  // An expert sent the item back: `why` holds the remark, and a note with the new answer replies to it.
  #showSentBack(why) {
    const [head, ...remark] = why.split(": ");
    this.sentBack.hidden = !why;
    this.sentBack.replaceChildren(
      make("strong", {}, `${head.charAt(0).toUpperCase()}${head.slice(1)}`),
      make("q", {}, remark.join(": ")),
      make("span", {}, "Answer it anew; a note with your answer replies."),
    );
  }

  // The guidelines are told once: in the guide where that is open, else below the classes.
  #tell() {
    this.told.hidden = !this.#project.guidelines || this.guide.isOpen;
  }

  #blank() {
    this.#showSentBack("");
    this.root.classList.remove("locked");
    this.viewer.show(null);
    this.reader.hidden = true;
    this.caption.replaceChildren();
    this.mark(null, null);
    this.unsuggested.hidden = true;
    this.#enable(false, false);
  }

  #enable(classes, others) {
    const set = (button, on) => button.setAttribute("aria-disabled", String(!on));
    this.classes.enable(classes);
    set(this.suggestion, classes);
    for (const button of this.commands.children) set(button, others || button.dataset.command === "undo");
  }

  #readingTools() {
    const button = (label, step, ...inside) => {
      const attributes = { class: "tool", type: "button", title: label, "aria-label": label };
      return make("button", { ...attributes, onclick: () => this.magnify(step) }, ...inside);
    };
    this.letters = make("span", { class: "letters" });
    this.#setLetters(Number(attempt(() => localStorage.getItem(LETTERS.key))) || 1);
    const smaller = button("Smaller letters", -1, make("span", { class: "small" }, "A"), "−");
    const size = make("span", { class: "tool-set" }, smaller, this.letters, button("Larger letters", 1, "A+"));
    const attributes = { class: "tools", role: "group", "aria-label": "Read the item", hidden: true };
    return make("div", attributes, size, this.meaning);
  }

  #setLetters(size) {
    this.#letters = Math.round(10 * Math.min(LETTERS.most, Math.max(LETTERS.least, size))) / 10;
    this.frame.style.setProperty("--letters", this.#letters);
    this.letters.textContent = percent(this.#letters);
    if (this.root) this.settle();
  }

  #noteKey(event) {
    if (event.isComposing || (event.key !== "Escape" && (event.key !== "Enter" || event.shiftKey))) return;
    event.preventDefault();
    if (event.key === "Escape") this.note.value = "";
    this.closeNote();
  }

}
