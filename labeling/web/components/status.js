// How things stand: the labels, the model and the pace above the work; what is saved, and what went wrong, beside it.

const NOTICE_FOR = 10_000; // ms

class Status {
  #noticeTimer = null;
  #spoken = 0;

  constructor() {
    this.count = make("span", { class: "count" });
    this.bar = make("span", { class: "bar-fill" });
    this.progress = make("div", { class: "bar", role: "progressbar", "aria-label": "Items labeled" }, this.bar);
    this.model = make("span", { class: "fact model" });
    this.speed = make("span", { class: "fact speed" });
    this.saving = make("span", { class: "saving" });
    this.top = make(
      "header",
      { class: "top" },
      make("div", { class: "progress" }, this.count, this.progress),
      make("div", { class: "facts" }, this.model, this.speed, this.saving),
    );
    this.message = make("p", { class: "message" });
    this.trouble = make("div", { class: "notice", role: "status", hidden: true });
    this.notice = make("div", { class: "notice", role: "status", hidden: true });
    this.speech = make("div", { class: "unseen", "aria-live": "polite" });
  }

  showLive(live) {
    if (!live) return;
    const { labels, items } = live;
    this.count.replaceChildren(make("strong", {}, number.format(labels)), ` of ${number.format(items)} labeled`);
    this.bar.style.width = `${items ? Math.min(100, (100 * labels) / items) : 0}%`;
    this.progress.setAttribute("aria-valuenow", String(labels));
    this.progress.setAttribute("aria-valuemax", String(items));
    const model = `Model ${live.model_version}${live.words_only ? ", from words" : ""}`;
    const parts = [live.model_version === null ? "No model yet" : model];
    if (live.accuracy !== null) {
      parts.push(`${percent(live.accuracy)} right on ${number.format(live.accuracy_on)} checked`);
    }
    if (live.learning) parts.push("learning…");
    this.model.textContent = parts.join(" · ");
    this.model.classList.toggle("learning", live.learning);
    this.message.textContent = live.message;
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

  #hideNotice() {
    this.notice.hidden = true;
    this.notice.replaceChildren();
  }
}
