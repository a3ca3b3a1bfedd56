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
  #leading = null; // the class that Enter takes
  #offered = ""; // that, and the classes that contend, in their order
  #turn = 0; // counts what was put before the person
  #painted = null; // when it was; null: not yet
  #clock = null; // since when the case is looked at, moved on by the time that the tab was hidden
  #gold = false;
  #past = []; // decisions that can be taken back, oldest first: { event_id, item } and how it was: { before, gold, from }
  #undos = new Map(); // event id -> step, while its undo is under way
  #saved = 0;
  #settling = null;
  #timers = [];
  #listening = new AbortController();

  constructor(root, data) {
    const { api, project, person } = data;
    this.view = new ReviewView(root, {
      api,
      project: project.id,
      on: {
        decide: (classId, event) => this.decide("label", classId, event),
        deed: (name, event) => this.deed(name, event),
        open: (name) => this.open(name),
        goTo: (item) => this.goTo(item),
        retry: () => this.retry(),
        say: (text, answers) => this.say(text, answers),
        guided: (guidelines, version) => this.#guided(guidelines, version),
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
    this.threads = new Threads({ docket: this.docket, talk: this.view.talk, outbox: this.remarks });
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
      restored: () => this.docket.refresh({ all: true }),
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
    const { decision: before, gold } = item;
    this.decisions.addAnswer({
      event_id: eventId,
      item_id: item.item_id,
      verdict,
      class_id: classId,
      seen: before?.event_id ?? null, // another one that stands by then is not overruled unseen
      gold: verdict === "label" && this.#gold !== gold ? this.#gold : null,
      seconds: Math.max(0, Math.round(event.timeStamp - this.#clock) / 1000),
    });
    const from = placeOf(item);
    this.#past = [...this.#past, { event_id: eventId, item, before, gold, from }].slice(-STEPS_BACK);
    this.docket.move(item, from, "decided");
    const created = Date.now() / 1000;
    item.decision = { event_id: eventId, mine: true, person: "", class_id: classId, note: "", created };
    if (verdict === "label") item.gold = this.#gold;
    if (this.docket.filter.name === "decided") this.docket.later();
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
    if (this.#leading !== null) this.decide("label", this.#leading, event);
  }

  // Takes the last decision of this page back and puts its item on screen again.
  undo() {
    const step = this.#past.pop();
    if (!step) return this.view.status.say("There is nothing to take back here; see “Decided” for the rest.");
    this.#takeBack(step);
    this.docket.bring(step.item);
    this.#show(this.docket.current);
    this.#announce("Your decision was taken back.");
  }

  // The same for one that is looked at in the list of decisions.
  takeBack(item) {
    if (!item.decision?.mine) return;
    const { event_id: eventId } = item.decision;
    const step = this.#forget(eventId);
    this.#takeBack(step ? { ...step, item } : { event_id: eventId, item });
    if (!item.decision) this.docket.remove(item, { saving: false });
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
      this.view.showPicture(this.#current);
      this.#watch(this.#current, null);
    }
    this.docket.refresh({ all: true });
  }

  say(text, answers) {
    const item = this.#current;
    if (!item) return;
    const to = this.threads.say(item, text, answers);
    if (!answers.length) return this.#announce("Your comment was written.");
    if (this.docket.filter.apart) return;
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
    if (document.visibilityState === "visible" && !this.#unsaved) this.docket.refresh({ all: true });
  }

  #next(pressedAt = null) {
    const item = this.docket.current;
    this.view.showList(this.docket);
    if (item) this.#show(item, pressedAt);
    else this.#nothing();
  }

  // Back before the person, but never under somebody who is writing.
  #bring(item) {
    const writing = this.#current !== null && this.view.isWriting;
    this.docket.bring(item, { next: writing });
    if (writing) this.view.showList(this.docket);
    else this.#next();
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
    this.#clock = null;
    this.#gold = item.gold;
    this.docket.prepare(item);
    this.#render(item);
    this.view.showList(this.docket);
    this.#watch(item, pressedAt);
    if (performance.now() - item.fetched > FRESH) this.#freshen(item, true);
  }

  #render(item) {
    const contenders = contendersOf(item);
    const first = leadingOf(item, contenders);
    this.#leading = this.view.classes.nameOf(first) === undefined ? null : first;
    this.#offered = [this.#leading, ...contenders.map(({ classId }) => classId)].join();
    this.view.show(item, { gold: this.#gold, leading: this.#leading, contenders });
  }

  // The same case with what is new of it. What moved under the hand has to be seen before a press on it counts.
  #renew(item) {
    const before = this.#offered;
    this.#render(item);
    if (this.#offered !== before) this.#watch(item, null);
  }

  // From when on it may be decided on: it is painted, with its picture.
  #watch(item, pressedAt) {
    const turn = (this.#turn += 1);
    this.#painted = null;
    if (!item.ask.ready) return this.#afterwards();
    whenPainted((now) => {
      if (this.#current !== item || this.#turn !== turn) return;
      this.#painted = now;
      this.#clock ??= now;
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

  // The case as it is now; null where that is not known. `tell`: say so where somebody has decided on it.
  async #freshen(item, tell = false) {
    if (this.#awaits(item)) return null;
    const { decision, gold } = item;
    const now = await this.docket.freshen(item);
    if (!now || this.#current !== item) return now;
    if (this.#gold === gold) this.#gold = item.gold; // unless the person has chosen
    this.#renew(item);
    const decided = now.decision && now.decision.event_id !== decision?.event_id;
    if (tell && decided && this.docket.filter.name !== "decided") {
      this.view.status.say(`${now.decision.person} has decided on this one meanwhile.`);
    }
    return now;
  }

  // The server has yet to hear something of it, and would tell how it was.
  #awaits(item) {
    const entries = [...this.decisions.entries, ...this.remarks.entries];
    const undos = [...this.#undos.values()];
    return entries.some(({ body }) => body.item_id === item.item_id) || undos.some((step) => step.item === item);
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

  #takeBack(step) {
    const { event_id: eventId } = step;
    this.#restore(step);
    if (this.decisions.withdraw(eventId)) return;
    this.#undos.set(eventId, step);
    this.decisions.addUndo(eventId, { event_id: newId() });
    this.decisions.flush();
  }

  // As it was before a decision.
  #restore({ item, before = null, gold = false, from = "waiting" }) {
    item.decision = before;
    item.gold = gold;
    this.docket.move(item, "decided", from);
  }

  // The step of a decision, which can be taken back no more.
  #forget(eventId) {
    const step = this.#past.find((each) => each.event_id === eventId);
    this.#past = this.#past.filter((each) => each !== step);
    return step;
  }

  #settleSoon() {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#unsaved || this.docket.refresh(), SETTLED);
  }

  #settled(entry, result) {
    if (result.live) this.#news(result.live);
    this.#settleSoon();
    if (entry.undoes) return this.#undone(entry, result);
    if (result.status !== "refused") {
      this.#saved += 1;
      return this.docket.saved(entry.body.item_id);
    }
    this.view.status.say(`A decision was not taken. ${result.why}`);
    const step = this.#forget(entry.body.event_id);
    if (!step) return;
    this.#restore(step);
    this.#freshen(step.item);
    this.#bring(step.item);
  }

  async #undone(entry, result) {
    const step = this.#undos.get(entry.undoes);
    this.#undos.delete(entry.undoes);
    if (result.status === "refused") this.view.status.say(`That decision could not be taken back. ${result.why}`);
    else if (result.status !== "void") this.#saved = Math.max(0, this.#saved - 1);
    const now = step && (await this.#freshen(step.item));
    // The decision before it, which stands again, has another id now.
    const again = step?.before && this.#past.find((each) => each.event_id === step.before.event_id);
    if (again && now?.decision) again.event_id = now.decision.event_id;
  }

  #said(entry, result) {
    this.#settleSoon();
    if (result.status === "refused") this.view.status.say(`A remark was not taken. ${result.why}`);
    const unsent = this.threads.settle(entry, result, this.#current);
    if (unsent) this.#unsent(unsent);
  }

  // It was not sent back after all: it is before the person again, and so is what was to be said.
  async #unsent(item) {
    const fresh = this.#freshen(item); // an answer that was given anew has another id
    this.#bring(item);
    await fresh;
    if (this.#current === item && !this.view.isWriting) this.deed("back");
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
    const now = await glimpse(`${api}/projects/${project.id}`);
    if (!now || this.#listening.signal.aborted) return; // the next news of the project tries again
    const sentence = whatChanged(this.#data.classes, now.classes);
    const { classes, guidelines, live } = now;
    this.#take({ ...this.#data, classes, schema_version: live.schema_version, project: { ...project, guidelines } });
    if (sentence) this.view.status.say(sentence);
  }

  // The person's own change of the guidelines is no news; others' that came before it are.
  #guided(guidelines, version) {
    const { project, schema_version: known } = this.#data;
    const schemaVersion = version === known + 1 ? version : known;
    this.#take({ ...this.#data, project: { ...project, guidelines }, schema_version: schemaVersion });
  }

  #take(data) {
    this.#data = data;
    this.view.showProject({ classes: data.classes, guidelines: data.project.guidelines });
    if (this.#current) this.#renew(this.#current);
  }

  get #unsaved() {
    return this.decisions.entries.length + this.remarks.entries.length;
  }

  #showSaving() {
    const failure = this.decisions.failure ?? this.remarks.failure ?? (this.#current ? this.docket.failure : null);
    this.view.status.showSaving({ saved: this.#saved, unsaved: this.#unsaved, trouble: failure?.message ?? "" });
  }

  #seen(away) {
    if (this.#clock !== null) this.#clock += away;
    this.decisions.flush();
    this.remarks.flush();
    this.docket.refresh({ all: true });
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
