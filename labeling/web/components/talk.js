// The thread of an item, and what is written into it: a remark, or a request to those who answered to look again.

const BEGUN = 60; // characters of what was begun that are shown

class Talk {
  #on;
  #about = null; // the id of the item
  #returns = false; // whether what is being written sends the item back
  #begun = new Map(); // item id -> { text, returns, spared: answers that are not to be given again }, not sent

  // on: { say(text, event ids of the answers to be given again), closed(), again(returns): what was begun is gone on with }
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
    const again = () => this.#on.again(this.#begun.get(this.#about).returns);
    this.again = make("button", { class: "ask begun", type: "button", hidden: true, onclick: again });
    this.root = make("section", { class: "talk", "aria-label": "Discussion" }, this.said, this.again, this.form);
  }

  get isOpen() {
    return !this.form.hidden;
  }

  // The item that is on screen, or news of it.
  show({ item_id: id, thread }) {
    if (id !== this.#about) this.leave();
    this.#about = id;
    this.said.replaceChildren(...thread.map((each) => remarkRow(each)));
    this.said.hidden = !thread.length;
    this.#offer();
  }

  // The item goes; what was begun on it is kept for when it comes again.
  leave() {
    const text = this.input.value.trim();
    if (this.isOpen && text) {
      const spared = [...this.people.querySelectorAll("input:not(:checked)")].map((box) => box.value);
      this.keep(this.#about, { text, returns: this.#returns, spared });
    }
    this.#about = null;
    this.#shut();
  }

  keep(itemId, { text, returns, spared }) {
    this.#begun.set(itemId, { text, returns, spared });
  }

  // `answers`: those that may be given again; null: only a remark.
  open(answers) {
    this.#returns = answers !== null;
    const { text, spared } = this.#begun.get(this.#about) ?? { text: this.input.value, spared: [] };
    this.#begun.delete(this.#about);
    const boxes = (answers ?? []).map(({ event_id: id, person }) => {
      const box = make("input", { type: "checkbox", value: id, checked: !spared.includes(id) });
      return make("label", {}, box, person);
    });
    this.people.replaceChildren(make("legend", {}, "Back to"), ...boxes);
    this.people.hidden = !this.#returns;
    this.send.replaceChildren(this.#returns ? "Send back" : "Comment", cap("Enter"));
    this.input.placeholder = this.#returns ? "What are they to look at again?" : "What the others should know.";
    this.form.hidden = false;
    this.input.value = text;
    this.#offer();
    this.input.focus();
  }

  // It was sent, or is not wanted any more.
  close() {
    const was = this.isOpen;
    this.#shut();
    if (was) this.#on.closed();
  }

  #shut() {
    this.form.hidden = true;
    this.input.value = "";
    this.input.blur();
    this.#offer();
  }

  #offer() {
    const begun = this.#begun.get(this.#about);
    this.again.hidden = !begun || this.isOpen;
    if (!begun) return;
    const shown = cut(begun.text, 0, BEGUN);
    const text = `${begun.text.slice(0, shown)}${shown < begun.text.length ? "…" : ""}`;
    this.again.textContent = `Go on with what you began to write: “${text}”`;
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

// What the person writes into the threads of the cases, and what becomes of it.
class Threads {
  #docket;
  #talk;
  #outbox;
  #returned = new Map(); // event id -> the case that left the list with it

  constructor({ docket, talk, outbox }) {
    this.#docket = docket;
    this.#talk = talk;
    this.#outbox = outbox;
  }

  // `answers`: those to be given again, with which the case leaves the list. Returns to whom it goes.
  say(item, text, answers) {
    const eventId = newId();
    this.#outbox.addAnswer({ event_id: eventId, item_id: item.item_id, text, return_to: answers });
    this.#outbox.flush();
    const asked = item.opinions.filter((each) => answers.includes(each.event_id)).map((each) => each.person);
    const to = answers.length ? asked : [null];
    const said = to.map((person) => ({
      event_id: eventId, person: "", mine: true, text, returned_to: person, done: false, created: 0, saving: true,
    })); // prettier-ignore
    const from = placeOf(item);
    item.thread = [...item.thread, ...said];
    this.#talk.show(item);
    if (!answers.length || this.#docket.filter.apart) return to;
    this.#returned.set(eventId, item);
    this.#docket.move(item, from, "sent_back");
    this.#docket.remove(item);
    return to;
  }

  // The server has answered. Returns the case that was not sent back after all, if one was to be.
  settle({ body }, result, current) {
    const { event_id: id, item_id: itemId, text, return_to: answers } = body;
    const returned = this.#returned.get(id) ?? null;
    const item = returned ?? [current, ...this.#docket.cases].find((each) => each?.item_id === itemId);
    const mine = (each) => each.event_id === id;
    const refused = result.status === "refused";
    this.#returned.delete(id);
    if (refused) {
      const spared = (item?.opinions ?? []).map((each) => each.event_id).filter((each) => !answers.includes(each));
      this.#talk.keep(itemId, { text, returns: answers.length > 0, spared });
      if (item) item.thread = item.thread.filter((each) => !mine(each));
      if (returned) this.#docket.move(item, "sent_back", placeOf(item));
    } else {
      const { created } = result;
      if (item) item.thread = item.thread.map((each) => (mine(each) ? { ...each, saving: false, created } : each));
      if (returned) this.#docket.saved(itemId);
    }
    if (item && item === current) this.#talk.show(item);
    return refused ? returned : null;
  }
}

// remark: { person, mine, text, returned_to, done, created, saving }
function remarkRow({ person, mine, text, returned_to: to, done, created, saving }) {
  const when = make("span", { class: "when" }, saving ? "saving…" : ago(created));
  const head = [make("strong", {}, mine ? "You" : person), when];
  if (to !== null) head.push(make("span", { class: "returned" }, `sent back to ${to}${done ? ": done" : ""}`));
  return make("li", {}, make("div", { class: "head" }, ...head), make("p", { dir: "auto" }, text));
}
