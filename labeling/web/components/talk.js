// The thread of an item, and what is written into it: a remark, or a request to those who answered to look again.

class Talk {
  #on;
  #returns = false; // whether what is being written sends the item back

  // on: { say(text, event ids of the answers to be given again), closed() }
  constructor(on) {
    this.#on = on;
    this.said = make("ol", { class: "said", "aria-label": "Discussion" });
    this.input = make("textarea", {
      class: "note",
      rows: "2",
      maxlength: "2000",
      "aria-label": "Remark",
      onkeydown: (event) => this.#key(event),
    });
    this.people = make("fieldset", { class: "people" });
    this.send = make("button", { class: "again", type: "submit" });
    const cancel = make("button", { class: "ask", type: "button", onclick: () => this.close() }, "Cancel", cap("Esc"));
    const buttons = make("div", { class: "buttons" }, this.send, cancel);
    this.form = make("form", { class: "write", hidden: true }, this.people, this.input, buttons);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
    this.form.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
    this.root = make("section", { class: "talk", "aria-label": "Discussion" }, this.said, this.form);
  }

  get isOpen() {
    return !this.form.hidden;
  }

  show(thread) {
    this.said.replaceChildren(...thread.map((each) => remarkRow(each)));
    this.said.hidden = !thread.length;
  }

  // `answers`: those that may be given again; null: only a remark.
  open(answers) {
    this.#returns = answers !== null;
    const boxes = (answers ?? []).map(({ event_id: id, person }) => {
      const box = make("input", { type: "checkbox", value: id, checked: true });
      return make("label", {}, box, person);
    });
    this.people.replaceChildren(make("legend", {}, "Back to"), ...boxes);
    this.people.hidden = !this.#returns;
    this.send.replaceChildren(this.#returns ? "Send back" : "Comment", cap("Enter"));
    this.input.placeholder = this.#returns ? "What are they to look at again?" : "What the others should know.";
    this.form.hidden = false;
    this.input.focus();
  }

  close() {
    const was = this.isOpen;
    this.form.hidden = true;
    this.input.value = "";
    this.input.blur();
    if (was) this.#on.closed();
  }

  #key(event) {
    if (event.isComposing || event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    if (!event.repeat) this.#say();
  }

  #say() {
    const text = this.input.value.trim();
    const again = [...this.people.querySelectorAll("input:checked")].map((box) => box.value);
    if (!text || (this.#returns && !again.length)) return this.input.focus();
    const returns = this.#returns;
    this.close();
    this.#on.say(text, returns ? again : []);
  }
}

// remark: { person, mine, text, returned_to, done, created, saving }
function remarkRow({ person, mine, text, returned_to: to, done, created, saving }) {
  const when = make("span", { class: "when" }, saving ? "saving…" : ago(created));
  const head = [make("strong", {}, mine ? "You" : person), when];
  if (to !== null) head.push(make("span", { class: "returned" }, `sent back to ${to}${done ? ": done" : ""}`));
  return make("li", {}, make("div", { class: "head" }, ...head), make("p", { dir: "auto" }, text));
}
