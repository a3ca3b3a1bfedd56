// What the labeller looks like. Data reaches the page as text only: every node is made here, none is parsed.

const COMMANDS = [
  { name: "skip", label: "Skip", cap: "→", keys: "ArrowRight", title: "Leave this item to others" },
  { name: "unsure", label: "Unsure", cap: "↓", keys: "ArrowDown", title: "Say that it cannot be told" },
  { name: "undo", label: "Undo", cap: "⌫", keys: "Backspace Control+Z", title: "Take the last answer back" },
  { name: "note", label: "Note", cap: ".", keys: ".", title: "Write a note with this answer" },
  { name: "flag", label: "Flag", cap: "!", keys: "!", title: "Mark this item for a second look" },
];
const SEARCH_FROM = 13; // classes; fewer are seen at a glance
const NOTICE_FOR = 10_000; // ms
const number = new Intl.NumberFormat("en");

class View {
  #on;
  #buttons = new Map(); // class id -> button
  #noticeTimer = null;
  #spoken = 0;

  // on: { answer(verdict, class id, event), accept(event), command(name, event), retry() }
  constructor(root, on) {
    this.#on = on;
    this.count = make("span", { class: "count" });
    this.bar = make("span", { class: "bar-fill" });
    this.progress = make("div", { class: "bar", role: "progressbar", "aria-label": "Items labeled" }, this.bar);
    this.model = make("span", { class: "fact model" });
    this.speed = make("span", { class: "fact speed" });
    this.saving = make("span", { class: "saving" });
    const top = make(
      "header",
      { class: "top" },
      make("div", { class: "progress" }, this.count, this.progress),
      make("div", { class: "facts" }, this.model, this.speed, this.saving),
    );

    this.message = make("p", { class: "message" });
    this.frame = make("div", { class: "frame" });
    this.caption = make("div", { class: "caption" });
    const stage = make("section", { class: "stage", "aria-label": "Item to label" }, this.frame, this.caption);

    this.suggestion = make("button", { class: "suggestion", type: "button", onclick: (event) => on.accept(event) });
    this.unsuggested = make("div", { class: "unsuggested" });
    this.suggestionRow = make("div", { class: "suggestion-row" }, this.suggestion, this.unsuggested);
    this.search = make("input", {
      class: "search",
      type: "search",
      placeholder: "Find a class   /",
      "aria-label": "Find a class",
      autocomplete: "off",
      oninput: () => this.#filter(),
      onkeydown: (event) => this.#searchKey(event),
    });
    this.grid = make("div", { class: "classes", role: "group", "aria-label": "Classes" });
    this.commands = make("div", { class: "commands", role: "group", "aria-label": "Other answers" });
    for (const { name, label, cap, keys, title } of COMMANDS) {
      const button = make(
        "button",
        { class: "command", type: "button", title, "aria-keyshortcuts": keys, "data-command": name },
        make("kbd", { "aria-hidden": "true" }, cap),
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
    this.trouble = make("div", { class: "notice", role: "status", hidden: true });
    this.notice = make("div", { class: "notice", role: "status", hidden: true });
    this.guidelines = make("p", {});
    this.guide = make("details", { class: "guide", open: true }, make("summary", {}, "Guidelines"), this.guidelines);
    const panel = make(
      "section",
      { class: "panel", "aria-label": "Your answer" },
      this.suggestionRow,
      this.search,
      this.grid,
      this.commands,
      this.note,
      this.trouble,
      this.notice,
      this.guide,
    );

    const work = make("div", { class: "work" }, stage, panel);
    this.speech = make("div", { class: "unseen", "aria-live": "polite" });
    this.root = make("div", { class: "askwise" }, top, this.message, work, this.speech);
    // A click must not leave the focus on a button, or the next Enter would press it again.
    this.root.addEventListener("mousedown", (event) => event.target.closest("button") && event.preventDefault());
    root.append(this.root);
  }

  showProject({ classes, guidelines, suggestions }) {
    this.#buttons = new Map(classes.map((each) => [each.id, this.#classButton(each)]));
    this.grid.replaceChildren(...this.#buttons.values());
    this.grid.classList.toggle("short", classes.every((each) => each.name.length <= 4));
    this.search.hidden = classes.length < SEARCH_FROM;
    this.suggestionRow.hidden = !suggestions;
    this.guidelines.textContent = guidelines;
    this.guide.hidden = !guidelines;
  }

  // The item. `locked`: it is being taken back and cannot be answered yet. `suggested`: { class_id, name, confidence }.
  showItem(ask, { suggested, earlier, locked = false }) {
    const { item, why } = ask.claim;
    this.frame.replaceChildren(...content(ask, () => this.#on.retry()));
    const reason = locked ? ["Taking your answer back…"] : why ? [make("span", {}, "Why this one: "), why] : [];
    this.caption.replaceChildren(
      make("span", { class: "why" }, ...reason),
      make("span", { class: "external", title: item.external_id }, item.external_id),
    );
    this.root.classList.toggle("locked", locked);
    this.unsuggested.textContent = locked ? "" : "No suggestion for this one";
    this.#mark(suggested, earlier);
    this.flag(false);
    this.note.value = "";
    this.closeNote();
    this.#enable(!locked && !ask.broken, !locked);
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

  showLive(live) {
    if (!live) return;
    const { labels, items } = live;
    this.count.replaceChildren(make("strong", {}, number.format(labels)), ` of ${number.format(items)} labeled`);
    this.bar.style.width = `${items ? Math.min(100, (100 * labels) / items) : 0}%`;
    this.progress.setAttribute("aria-valuenow", String(labels));
    this.progress.setAttribute("aria-valuemax", String(items));
    const parts = [live.model_version === null ? "No model yet" : `Model ${live.model_version}`];
    if (live.accuracy !== null) {
      parts.push(`${percent(live.accuracy)} right on ${number.format(live.accuracy_on)} checked`);
    }
    if (live.learning) parts.push("learning…");
    this.model.textContent = parts.join(" · ");
    this.message.textContent = live.message;
    this.model.classList.toggle("learning", live.learning);
  }

  showSaving({ saved, unsaved, trouble }) {
    const done = `saved ${number.format(saved)}`;
    this.saving.textContent = unsaved ? `${done} · saving ${number.format(unsaved)}` : done;
    this.saving.classList.toggle("busy", unsaved > 0);
    this.saving.classList.toggle("trouble", Boolean(trouble));
    this.trouble.hidden = !trouble;
    const answers = unsaved === 1 ? "1 answer is" : `${number.format(unsaved)} answers are`;
    const sentence = trouble && `${trouble} ${unsaved ? `${answers} kept in this browser. ` : ""}Askwise keeps trying.`;
    if (this.trouble.textContent !== sentence) this.trouble.textContent = sentence; // or it is read out again
  }

  showSpeed(perMinute) {
    this.speed.textContent = perMinute === null ? "" : `${number.format(perMinute)} a minute`;
  }

  // A sentence beside the answers, in nobody's way.
  say(sentence) {
    clearTimeout(this.#noticeTimer);
    const close = make("button", { class: "close", type: "button", "aria-label": "Dismiss" }, "×");
    close.addEventListener("click", () => this.#hideNotice());
    this.notice.replaceChildren(make("span", {}, sentence), close);
    this.notice.hidden = false;
    this.#noticeTimer = setTimeout(() => this.#hideNotice(), NOTICE_FOR);
  }

  announce(sentence) {
    // The same words twice in a row are read out only if the text differs.
    this.speech.textContent = sentence + "\u00a0".repeat(this.#spoken++ % 2);
  }

  pressed(classId) {
    const button = this.#buttons.get(classId);
    if (!button) return;
    button.classList.remove("pressed");
    requestAnimationFrame(() => button.classList.add("pressed"));
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

  #classButton({ id, name, key, description }) {
    const button = make(
      "button",
      { class: "class", type: "button", title: description || name, "aria-keyshortcuts": key, "data-class": id },
      make("kbd", { "aria-hidden": "true" }, key ?? ""),
      make("span", { class: "name" }, name),
      make("span", { class: "mark", "aria-hidden": "true" }),
    );
    button.addEventListener("click", (event) => this.#on.answer("label", id, event));
    return button;
  }

  #mark(suggested, earlier) {
    for (const [id, button] of this.#buttons) {
      const isEarlier = earlier?.verdict === "label" && earlier.class_id === id;
      button.classList.toggle("suggested", suggested?.class_id === id);
      button.classList.toggle("earlier", isEarlier);
      button.querySelector(".mark").textContent = isEarlier ? "✓" : "";
      if (isEarlier) button.setAttribute("aria-description", "Your earlier answer");
      else button.removeAttribute("aria-description");
    }
    for (const button of this.commands.children) {
      button.classList.toggle("earlier", earlier != null && earlier.verdict === button.dataset.command);
    }
    this.suggestion.hidden = !suggested;
    this.unsuggested.hidden = Boolean(suggested);
    if (!suggested) return;
    const share = percent(suggested.confidence);
    this.suggestion.setAttribute("aria-keyshortcuts", "Enter");
    this.suggestion.replaceChildren(
      make("span", {}, "Model thinks ", make("strong", {}, suggested.name), ` · ${share}`),
      make("kbd", { "aria-hidden": "true" }, "Enter"),
    );
  }

  #blank() {
    this.root.classList.remove("locked");
    this.caption.replaceChildren();
    this.#mark(null, null);
    this.unsuggested.hidden = true;
    this.#enable(false, false);
  }

  // Not `disabled`: that would throw the focus of somebody who works by keyboard off the button.
  #enable(classes, others) {
    const set = (button, on) => button.setAttribute("aria-disabled", String(!on));
    for (const button of [...this.#buttons.values(), this.suggestion]) set(button, classes);
    for (const button of this.commands.children) set(button, others || button.dataset.command === "undo");
  }

  #filter() {
    const words = this.search.value.trim().toLowerCase();
    let first = true;
    for (const button of this.#buttons.values()) {
      const hit = button.querySelector(".name").textContent.toLowerCase().includes(words);
      button.hidden = !hit;
      button.classList.toggle("first", hit && first && words !== "");
      if (hit) first = false;
    }
  }

  #searchKey(event) {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    const first = this.grid.querySelector(".first");
    this.search.value = "";
    this.#filter();
    this.search.blur();
    if (event.key === "Enter" && first && !event.repeat) this.#on.answer("label", Number(first.dataset.class), event);
  }

  #noteKey(event) {
    if (event.isComposing || (event.key !== "Escape" && (event.key !== "Enter" || event.shiftKey))) return;
    event.preventDefault();
    if (event.key === "Escape") this.note.value = "";
    this.closeNote();
  }

  #hideNotice() {
    this.notice.hidden = true;
    this.notice.replaceChildren();
  }
}

function content(ask, retry) {
  const { text, fields, external_id: name } = ask.claim.item;
  const nodes = [];
  if (ask.broken) {
    const again = make("button", { class: "again", type: "button", onclick: retry }, "Try again");
    const sentence = make("p", {}, "This picture could not be loaded. Try again, or skip it.");
    nodes.push(make("div", { class: "empty" }, sentence, again));
  } else if (ask.image) {
    const { naturalWidth: width, naturalHeight: height } = ask.image;
    // Tiny pictures are drawn large (and smooth), middling ones up to twice their size; all fit the frame.
    const scale = Math.max(2, 340 / Math.max(width, height));
    ask.image.style.width = `${Math.round(width * scale)}px`;
    ask.image.style.aspectRatio = `${width} / ${height}`;
    ask.image.alt = name;
    nodes.push(ask.image);
  } else if (ask.claim.media_url) {
    nodes.push(skeleton());
  }
  if (text) nodes.push(make("div", { class: text.length > 400 ? "text long" : "text", tabindex: "0" }, text));
  const pairs = Object.entries(fields ?? {});
  if (pairs.length) {
    const rows = pairs.map(([field, value]) => make("div", {}, make("dt", {}, field), make("dd", {}, plain(value))));
    nodes.push(make("dl", { class: "fields", tabindex: "0" }, ...rows));
  }
  return nodes;
}

function skeleton() {
  return make("div", { class: "skeleton", role: "img", "aria-label": "The item is loading" });
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

function plain(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// make("p", { class: "x", onclick: f }, "text", node): strings become text nodes, never markup.
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
