// Review: what waits for an expert, one press, the next one. review.py joins this file and those before it.

const HEARTBEAT = 15_000; // ms between looks at what is new
const FRESH = 30_000; // ms after which a case is looked up again when it comes on screen
const SETTLED = 400; // ms after the last saved decision until the counts are asked for
const STEPS_BACK = 50;
const ALONE = "With one answer for each item nobody can disagree: the owner sets how many people answer it.";

class Review {
  #given;
  #data;
  #refreshing = null; // the classes are being fetched
  #presence;
  #current = null; // the case on screen
  #painted = null; // when it was; null: not yet
  #clock = 0; // the same, moved on by the time that the tab was hidden
  #gold = false;
  #past = []; // decisions that can be taken back, oldest first: { event_id, item, before }
  #undos = new Map(); // event id -> item, while its undo is under way
  #saved = 0;
  #settling = null;
  #timers = [];
  #listening = new AbortController();

  constructor(root, data) {
    const { api, project, person } = data;
    this.view = new ReviewView(root, {
      api,
      on: {
        decide: (classId, event) => this.decide("label", classId, event),
        deed: (name, event) => this.deed(name, event),
        open: (name) => this.open(name),
        goTo: (item) => this.goTo(item),
        retry: () => this.retry(),
        say: (text, answers) => this.say(text, answers),
        guidelines: (text) => this.#saveGuidelines(text),
        takeBack: (item) => this.takeBack(item),
      },
    });
    this.docket = new Docket({
      api,
      project: project.id,
      on: { changed: () => this.#listed(), ready: (item) => this.#pictured(item), news: (live) => this.#news(live) },
    });
    const outbox = (list, settled) =>
      new Outbox({
        api,
        list,
        at: `projects/${project.id}/${list}`,
        scope: `${list}:${person ?? ""}:${project.id}`,
        settled,
        changed: () => this.#showSaving(),
      });
    this.decisions = outbox("decisions", (entry, result) => this.#settled(entry, result));
    this.remarks = outbox("remarks", (entry, result) => this.#said(entry, result));
    this.update(data);
    leaveSwitch();
    this.#presence = new Presence(this.#listening.signal, {
      root: this.view.root,
      stroke: (event) => strokeAt(event, this),
      online: () => this.retry(),
      unsaved: () => this.#unsaved > 0,
      hidden: () => {},
      seen: (away) => this.#seen(away),
      left: () => this.#farewell(),
      restored: () => this.docket.refresh(),
    });
    this.#begin();
  }

  update(data) {
    const same = this.#given && JSON.stringify(this.#given) === JSON.stringify(data);
    this.#given = data;
    if (same) return;
    const stale = this.#data && data.schema_version < this.#data.schema_version;
    this.#take(stale ? { ...data, classes: this.#data.classes, schema_version: this.#data.schema_version } : data);
  }

  isOf(data) {
    const { api, project, person } = this.#data;
    return data.api === api && data.project.id === project.id && data.person === person;
  }

  stop() {
    this.#listening.abort();
    this.#timers.forEach(clearInterval);
    clearTimeout(this.#settling);
    this.#farewell();
    this.decisions.stop();
    this.remarks.stop();
    this.docket.stop();
    this.view.root.remove();
  }

  // A decision counts only if its item was on screen when the key went down.
  decide(verdict, classId, event) {
    const item = this.#current;
    if (!item || this.#painted === null || event.timeStamp < this.#painted) return;
    if (item.ask.broken && verdict === "label") return;
    const eventId = newId();
    this.decisions.addAnswer({
      event_id: eventId,
      item_id: item.item_id,
      verdict,
      class_id: classId,
      gold: verdict === "label" && this.#gold !== item.gold ? this.#gold : null,
      seconds: Math.max(0, Math.round(event.timeStamp - this.#clock) / 1000),
    });
    const { filter, counts } = this.docket;
    this.#past = [...this.#past, { event_id: eventId, item, before: item.decision }].slice(-STEPS_BACK);
    if (!item.decision && counts) this.#count(item, 1);
    const created = Date.now() / 1000;
    item.decision = { event_id: eventId, mine: true, person: "", class_id: classId, note: "", created };
    if (verdict === "label") item.gold = this.#gold;
    if (filter.name === "decided") this.docket.later();
    else this.docket.remove(item);
    this.#next(event.timeStamp);
    if (classId !== null) this.view.pressed(classId);
    const name = this.view.classes.nameOf(classId);
    this.#announce(verdict === "label" ? `Decided: ${name}.` : "Decided: it cannot be told.");
  }

  deed(name, event) {
    if (name === "undo") return this.undo();
    const item = this.#current;
    if (!item) return;
    if (name === "unsure") return this.decide("unsure", null, event);
    if (name === "later") return this.#later(event);
    if (name === "gold") return this.#toggleGold(item);
    if (name === "comment") return this.view.talk.open(null);
    const answers = item.opinions.filter(({ origin }) => origin !== "imported");
    if (answers.length) this.view.talk.open(answers);
    else this.view.status.say("Nobody here has answered this item, so there is nobody to send it back to.");
  }

  accept(event) {
    const leading = this.#leading(this.#current);
    if (leading !== null) this.decide("label", leading, event);
  }

  // Takes the last decision of this page back and puts its item on screen again.
  undo() {
    const step = this.#past.pop();
    if (!step) return this.view.status.say("There is nothing to take back here; see “Decided” for the rest.");
    this.#takeBack(step.item, step.event_id);
    this.docket.bring(step.item);
    this.#show(this.docket.current);
    this.#announce("Your decision was taken back.");
  }

  // The same for one that is looked at in the list of decisions.
  takeBack(item) {
    if (!item.decision?.mine) return;
    this.#past = this.#past.filter((step) => step.event_id !== item.decision.event_id);
    this.#takeBack(item, item.decision.event_id);
    this.docket.remove(item, { saving: false });
    this.#next();
    this.view.status.say(`The decision on “${item.external_id}” was taken back.`);
  }

  async open(name) {
    this.#current = null;
    const opened = this.docket.open(name);
    this.#next();
    await opened;
    // The next Enter is meant for the item.
    if (!this.view.talk.isOpen) this.view.frame.focus({ preventScroll: true });
  }

  goTo(item) {
    this.docket.goTo(item);
    this.#next();
  }

  retry() {
    this.decisions.flush();
    this.remarks.flush();
    if (!this.#current) return this.docket.more();
    if (this.#current.ask.broken) {
      this.docket.reload(this.#current);
      this.#show(this.#current);
    }
    this.docket.refresh();
  }

  say(text, answers) {
    const item = this.#current;
    if (!item) return;
    const eventId = newId();
    this.remarks.addAnswer({ event_id: eventId, item_id: item.item_id, text, return_to: answers });
    this.remarks.flush();
    const asked = item.opinions.filter((each) => answers.includes(each.event_id)).map((each) => each.person);
    const to = answers.length ? asked : [null];
    const said = to.map((person) => ({
      event_id: eventId, person: "", mine: true, text, returned_to: person, done: false, created: 0, saving: true,
    })); // prettier-ignore
    item.thread = [...item.thread, ...said];
    this.view.talk.show(item.thread);
    if (!answers.length) return this.#announce("Your comment was written.");
    const { counts, filter } = this.docket;
    if (filter.apart) return;
    if (counts) {
      counts.sent_back += 1;
      this.#leave(item);
    }
    this.docket.remove(item, { saving: false });
    this.#next();
    this.view.status.say(`Sent back to ${to.join(", ")}. It waits under “Sent back” meanwhile.`);
  }

  async #begin() {
    this.#timers.push(setInterval(() => this.#beat(), HEARTBEAT));
    this.decisions.adopt();
    this.remarks.adopt();
    this.view.showNothing(this.docket, "");
    const limit = new Promise((resolve) => setTimeout(resolve, 2_000));
    await Promise.race([Promise.all([this.decisions.flush(), this.remarks.flush()]), limit]);
    if (!this.#listening.signal.aborted) this.docket.more();
  }

  #beat() {
    if (document.visibilityState === "visible" && !this.#unsaved) this.docket.refresh();
  }

  #next(pressedAt = null) {
    const item = this.docket.current;
    this.view.showList(this.docket);
    if (item) this.#show(item, pressedAt);
    else this.#nothing();
  }

  #nothing() {
    this.#current = null;
    this.#painted = null;
    const { filter } = this.docket;
    const alone = this.#data.overlap === 1 && ["all", "disagreement"].includes(filter.name);
    this.view.showNothing(this.docket, alone ? ALONE : "");
    this.#afterwards();
  }

  #show(item, pressedAt = null) {
    this.#current = item;
    this.#painted = null;
    this.#gold = item.gold;
    this.docket.prepare(item);
    this.#render(item);
    this.view.showList(this.docket);
    this.#watch(item, pressedAt);
    const { fetched } = item;
    if (performance.now() - fetched > FRESH) this.#freshen(item);
  }

  #render(item) {
    const contenders = contendersOf(item);
    this.view.show(item, { gold: this.#gold, leading: this.#leading(item, contenders), contenders });
  }

  // From when on it may be decided on: it is painted, with its picture.
  #watch(item, pressedAt) {
    if (!item.ask.ready) return this.#afterwards();
    whenPainted((now) => {
      if (this.#current !== item || this.#painted !== null) return;
      this.#painted = this.#clock = now;
      this.view.settle();
      const detail = { item: item.item_id, pressed: pressedAt, painted: now };
      document.dispatchEvent(new CustomEvent("askwise:painted", { detail }));
      this.#afterwards();
    });
  }

  #pictured(item) {
    if (this.#current !== item) return;
    this.view.showPicture(item);
    this.#watch(item, null);
  }

  #afterwards() {
    this.decisions.flush();
  }

  // The list came, or news of it.
  #listed() {
    if (!this.#current) return this.#next();
    this.view.showList(this.docket);
    this.#showSaving();
  }

  async #freshen(item) {
    const before = item.decision?.event_id;
    const now = await this.docket.freshen(item);
    if (!now || this.#current !== item || this.view.talk.isOpen) return;
    this.#gold = item.gold;
    this.#render(item);
    if (now.decision && now.decision.event_id !== before && this.docket.filter.name !== "decided") {
      this.view.status.say(`${now.decision.person} has decided on this one meanwhile.`);
    }
  }

  #later(event) {
    const { cases } = this.docket;
    if (cases.length === 1) this.view.status.say("This is the only one here.");
    this.docket.later();
    this.#next(event.timeStamp);
    this.#announce("Left for later.");
  }

  async #toggleGold(item) {
    this.#gold = !this.#gold;
    this.view.showGold(this.#gold);
    this.view.status.announce(this.#gold ? "A gold item." : "No gold item.");
    if (item.decision === null || item.decision.class_id === null) return;
    const { api, project } = this.#data;
    const gold = (item.gold = this.#gold);
    try {
      await this.decisions.flush();
      await call(`${api}/projects/${project.id}/gold`, { item_ids: [item.item_id], gold });
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      item.gold = !gold;
      this.view.status.say(`That could not be saved. ${failure.message}`);
      if (this.#current !== item) return;
      this.#gold = item.gold;
      this.view.showGold(this.#gold);
    }
  }

  #takeBack(item, eventId) {
    item.decision = null;
    item.gold = false;
    this.#count(item, -1);
    if (this.decisions.withdraw(eventId)) return;
    this.#undos.set(eventId, item);
    this.decisions.addUndo(eventId, { event_id: newId() });
    this.decisions.flush();
  }

  // The numbers follow at once; what the server counts comes later.
  #count(item, step) {
    const { counts } = this.docket;
    if (!counts) return;
    counts.decided = Math.max(0, counts.decided + step);
    this.#leave(item, step);
  }

  #leave(item, step = 1) {
    const { counts } = this.docket;
    counts.waiting = Math.max(0, counts.waiting - step);
    for (const cause of item.causes) counts.causes[cause] = Math.max(0, (counts.causes[cause] ?? 0) - step);
  }

  #settled(entry, result) {
    if (result.live) this.#news(result.live);
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#unsaved || this.docket.refresh(), SETTLED);
    if (entry.undoes) return this.#undone(entry, result);
    if (result.status !== "refused") {
      this.#saved += 1;
      return this.docket.saved(entry.body.item_id);
    }
    this.view.status.say(`A decision was not taken. ${result.why}`);
    const at = this.#past.findIndex((step) => step.event_id === entry.body.event_id);
    const [step] = at >= 0 ? this.#past.splice(at, 1) : [];
    if (!step) return;
    step.item.decision = step.before;
    if (!step.before) this.#count(step.item, -1);
    this.docket.bring(step.item);
    this.#next();
  }

  #undone(entry, result) {
    const item = this.#undos.get(entry.undoes);
    this.#undos.delete(entry.undoes);
    if (result.status !== "refused") this.#saved = Math.max(0, this.#saved - 1);
    else this.view.status.say(`That decision could not be taken back. ${result.why}`);
    if (item && this.docket.filter.name === "decided" && result.status === "refused") this.docket.freshen(item);
  }

  #said(entry, result) {
    const { event_id: id, item_id: itemId } = entry.body;
    const item = [this.#current, ...this.docket.cases].find((each) => each?.item_id === itemId);
    const mine = (each) => each.event_id === id;
    if (result.status === "refused") {
      this.view.status.say(`A remark was not taken. ${result.why}`);
      if (item) item.thread = item.thread.filter((each) => !mine(each));
      if (entry.body.return_to.length) this.docket.more();
    } else if (item) {
      const { created } = result;
      item.thread = item.thread.map((each) => (mine(each) ? { ...each, saving: false, created } : each));
    }
    if (item && item === this.#current) this.view.talk.show(item.thread);
  }

  // What Enter takes: the label where there is one, else what most people chose, else what the model believes.
  #leading(item, contenders = item && contendersOf(item)) {
    const first = item?.decision?.class_id ?? contenders?.[0]?.classId ?? null;
    return this.view.classes.nameOf(first) === undefined ? null : first;
  }

  #announce(sentence) {
    const item = this.#current;
    const next = item ? ` Next: ${(item.text ?? item.external_id).slice(0, 300)}. ${item.why}` : "";
    this.view.status.announce(sentence + next);
  }

  #news(live) {
    if (!live) return;
    this.view.status.message.textContent = live.message ?? "";
    if (live.schema_version > this.#data.schema_version) this.#refreshClasses();
  }

  #refreshClasses() {
    this.#refreshing ??= this.#fetchClasses().finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  async #fetchClasses() {
    const { api, project } = this.#data;
    let now;
    try {
      now = await lookUp(`${api}/projects/${project.id}`);
    } catch (failure) {
      if (failure instanceof Failure) return; // the next news of the project tries again
      throw failure;
    }
    if (this.#listening.signal.aborted) return;
    const sentence = whatChanged(this.#data.classes, now.classes);
    const { classes, guidelines, live } = now;
    this.#take({ ...this.#data, classes, schema_version: live.schema_version, project: { ...project, guidelines } });
    if (sentence) this.view.status.say(sentence);
  }

  async #saveGuidelines(guidelines) {
    const { api, project } = this.#data;
    try {
      const { schema_version: version } = await call(`${api}/projects/${project.id}/guidelines`, { guidelines });
      this.#data = { ...this.#data, project: { ...project, guidelines } };
      this.view.showProject({ classes: this.#data.classes, guidelines });
      if (version === this.#data.schema_version + 1) this.#data.schema_version = version;
      return "";
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      return failure.message;
    }
  }

  #take(data) {
    this.#data = data;
    this.view.showProject({ classes: data.classes, guidelines: data.project.guidelines });
    if (this.#current && !this.view.talk.isOpen) this.#render(this.#current);
  }

  get #unsaved() {
    return this.decisions.entries.length + this.remarks.entries.length;
  }

  #showSaving() {
    const failure = this.decisions.failure ?? this.remarks.failure ?? (this.#current ? this.docket.failure : null);
    this.view.status.showSaving({ saved: this.#saved, unsaved: this.#unsaved, trouble: failure?.message ?? "" });
  }

  #seen(away) {
    this.#clock += away;
    this.decisions.flush();
    this.remarks.flush();
    this.docket.refresh();
  }

  #farewell() {
    this.decisions.farewell();
    this.remarks.farewell();
  }
}

const reviews = new WeakMap(); // parentElement -> Review

// Streamlit calls this on every change of the data or the theme, and what it returned last when the component goes.
export default function ({ data, parentElement }) {
  let review = reviews.get(parentElement);
  if (review && !review.isOf(data)) {
    review.stop();
    review = null;
  }
  if (review) review.update(data);
  else reviews.set(parentElement, new Review(parentElement, data));
  return () => {
    reviews.get(parentElement)?.stop();
    reviews.delete(parentElement);
  };
}
