// What waits for an expert, as far as it was fetched: in the server's order, the pictures of the next ones decoded. A
// case is what the server tells of an item, and beside it
//   { fetched, brought, ask: { claim: { item, media_url }, image, ready, broken } }
// fetched: ms, of performance.now(); brought: it is here again for the person's own sake, whether it waits or not

const FILTERS = [
  { name: "all", label: "All", asks: "" },
  { name: "disagreement", label: "Disagreements", asks: "cause=disagreement" },
  { name: "unsure", label: "Unsure", asks: "cause=unsure" },
  { name: "flagged", label: "Flagged", asks: "cause=flagged" },
  { name: "likely_error", label: "Likely errors", asks: "cause=likely_error" },
  { name: "against", label: "Against the model", asks: "against=true", apart: true },
  { name: "sent_back", label: "Sent back", asks: "sent_back=true", apart: true },
  { name: "decided", label: "Decided", asks: "decided=true", apart: true },
];
const PAGE = 20; // cases fetched at once
const MOST = 100; // cases that the server tells of at once
const LEAST_AHEAD = 8; // cases; with fewer, more are fetched
const READY_AHEAD = 3; // cases whose pictures are decoded
const PICTURE_TRIES = 4;
const NEIGHBOUR_SIZE = 128; // pixels

class Docket {
  #url;
  #on;
  #filter = FILTERS[0];
  #at = 0;
  #asked = 0; // counts the fetches, so that a late one of another list is known
  #fetching = false;
  #due = null; // what `refresh` was asked for during a fetch
  #whole = false; // the server has no more of this list
  #away = new Map(); // item id -> when its decision was saved; null: it is on its way
  #patience = new Patience();
  #timer = null;
  #stopped = false;

  // on: { changed(): other cases, or news of them; ready(case): its picture is there; news(live) }
  constructor({ api, project, on }) {
    this.#url = `${api}/projects/${project}`;
    this.#on = on;
    this.cases = [];
    this.counts = null; // { waiting, sent_back, decided, against, causes: { cause: count } }
    this.failure = null;
  }

  get filter() {
    return this.#filter;
  }

  get current() {
    return this.cases[this.#at] ?? null;
  }

  get at() {
    return this.#at;
  }

  get isLoading() {
    return this.#fetching || (this.counts === null && !this.failure);
  }

  countOf({ name }) {
    if (!this.counts) return null;
    if (name === "all") return this.counts.waiting;
    return this.counts[name] ?? this.counts.causes[name] ?? 0;
  }

  open(name) {
    const before = this.#filter;
    this.#filter = FILTERS.find((each) => each.name === name);
    // Of all that waits, those of one cause are at hand.
    const narrower = before.name === "all" && !this.#filter.apart;
    this.cases = narrower ? this.cases.filter(({ causes }) => causes.includes(name)) : [];
    this.#at = 0;
    this.#whole = this.#fetching = false;
    this.#due = null;
    return this.more();
  }

  // Fetches what comes after the cases at hand, or the first ones.
  async more() {
    if (this.#fetching || this.#stopped) return;
    this.#fetching = true;
    // A few less than are at hand: what others settled meanwhile moved the rest forward.
    const known = this.cases.filter((each) => !this.#away.has(each.item_id)).length;
    const reply = await this.#fetch(Math.max(0, known - 2), PAGE);
    if (!reply) return;
    const fresh = this.#unknown(reply.items);
    this.cases.push(...fresh);
    this.#whole = reply.items.length < PAGE;
    this.#tell(reply);
  }

  // Hears how many wait, and whether something new comes first. `all`: also which of the cases at hand others have
  // settled, and what has taken their place.
  async refresh({ all = false } = {}) {
    if (this.#stopped) return;
    if (this.#fetching) {
      this.#due = { all: all || this.#due?.all };
      return;
    }
    if (!this.cases.length) return this.more();
    this.#fetching = true;
    const known = [...this.cases];
    const limit = all ? Math.min(MOST, known.length + 1) : 1;
    const reply = await this.#fetch(0, limit);
    if (!reply) return;
    const { apart } = this.#filter;
    const whole = reply.items.length < limit;
    // Of what waits, a case that moved further back comes again in its turn; the other lists are never fetched anew.
    if (all && (whole || !apart)) this.#drop(known, reply.items);
    if (!apart) {
      const fresh = this.#unknown(reply.items);
      const isFirst = (each) => each.item_id === reply.items[0].item_id;
      this.cases.splice(this.#at + 1, 0, ...fresh.filter(isFirst));
      this.cases.push(...fresh.filter((each) => !isFirst(each)));
      if (all) this.#whole = whole;
    }
    this.#tell(reply);
  }

  // One case as it is now: others may have answered or decided since it was fetched.
  async freshen(stale) {
    const { decision, thread, fetched } = stale;
    stale.fetched = performance.now(); // once at a time
    const now = await glimpse(`${this.#url}/items/${stale.item_id}/review`);
    // What the person did meanwhile is newer.
    if (now && stale.decision === decision && stale.thread === thread) return Object.assign(stale, now);
    stale.fetched = fetched;
    return null;
  }

  // The case leaves the list; its place is the next one's. `saving`: what settles it is on its way.
  remove(item, { saving = true } = {}) {
    if (saving) this.#away.set(item.item_id, null);
    const at = this.cases.indexOf(item);
    if (at < 0) return;
    this.cases.splice(at, 1);
    if (at < this.#at) this.#at -= 1;
    if (this.#at >= this.cases.length) this.#at = 0;
    // Others may wait that came when there was enough at hand.
    if (!this.cases.length && this.countOf(this.#filter)) this.#whole = false;
    this.#ahead();
  }

  // It is before the person again; with `next` after the case that is, which stays.
  bring(item, { next = false } = {}) {
    this.#away.delete(item.item_id);
    item.brought = true;
    const at = this.cases.findIndex((each) => each.item_id === item.item_id);
    if (next && at >= 0 && at === this.#at) return;
    if (at >= 0) this.cases.splice(at, 1);
    if (at >= 0 && at < this.#at) this.#at -= 1;
    this.cases.splice(this.#at + (next && this.cases.length ? 1 : 0), 0, item);
    this.#ahead();
  }

  // The counts follow at once; what the server counts comes later. from, to: see `placeOf`.
  move(item, from, to) {
    if (!this.counts || from === to) return;
    this.#count(item, from, -1);
    this.#count(item, to, 1);
  }

  saved(itemId) {
    if (this.#away.has(itemId)) this.#away.set(itemId, performance.now());
  }

  // On to the next one; what waits for a decision goes to the end.
  later() {
    const left = this.current;
    if (!left) return;
    left.brought = false;
    if (this.#filter.apart) {
      this.#at = (this.#at + 1) % this.cases.length;
    } else {
      this.cases.splice(this.#at, 1);
      this.cases.push(left);
      if (this.#at >= this.cases.length - 1) this.#at = 0;
    }
    this.#ahead();
  }

  goTo(item) {
    const at = this.cases.indexOf(item);
    if (at >= 0) this.#at = at;
    this.#ahead();
  }

  reload(item) {
    item.ask = null;
    this.prepare(item);
  }

  prepare(item) {
    if (item.ask) return item.ask;
    const { external_id, text, fields, media_url } = item;
    const image = media_url ? new Image() : null;
    item.ask = { claim: { item: { external_id, text, fields }, media_url }, image: null, ready: !image, broken: false };
    if (image) this.#load(item, item.ask, image, 1);
    for (const near of Object.values(item.neighbours).flat()) {
      if (near.media_url) new Image().src = thumbnailOf(near.media_url);
    }
    return item.ask;
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #fetch(offset, limit) {
    const asked = (this.#asked += 1);
    const since = performance.now();
    clearTimeout(this.#timer);
    try {
      const reply = await lookUp(`${this.#url}/review?${this.#filter.asks}&offset=${offset}&limit=${limit}`);
      if (asked !== this.#asked || this.#stopped) return null;
      this.failure = null;
      this.#patience.reset();
      for (const [id, saved] of this.#away) if (saved !== null && saved < since) this.#away.delete(id);
      return reply;
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      if (asked !== this.#asked || this.#stopped) return null;
      this.failure = failure;
      const again = () => (this.cases.length ? this.refresh() : this.more());
      this.#timer = setTimeout(again, this.#patience.next());
      this.#fetching = false;
      this.#on.changed();
      return null;
    } finally {
      if (asked === this.#asked) this.#fetching = false;
    }
  }

  #tell({ waiting, sent_back, decided, against, causes, live }) {
    const unsaved = [...this.#away.values()].some((saved) => saved === null);
    // While decisions are on their way the server counts what is settled here.
    if (!unsaved || !this.counts) this.counts = { waiting, sent_back, decided, against, causes };
    const due = this.#due;
    this.#due = null;
    if (due) this.refresh(due);
    else this.#ahead();
    this.#on.news(live);
    this.#on.changed();
  }

  #count({ causes }, place, step) {
    const { counts } = this;
    counts[place] = Math.max(0, counts[place] + step);
    if (place !== "waiting") return;
    for (const cause of causes) counts.causes[cause] = Math.max(0, (counts.causes[cause] ?? 0) + step);
  }

  // Takes those of `known` off the list that are not `told` of any more; never the one that is being looked at.
  #drop(known, told) {
    const { current } = this;
    const listed = new Set(told.map((each) => each.item_id));
    const settled = (each) => known.includes(each) && each !== current && !each.brought && !listed.has(each.item_id);
    this.cases = this.cases.filter((each) => !settled(each));
    this.#at = Math.max(0, this.cases.indexOf(current));
  }

  #unknown(items) {
    const known = new Set(this.cases.map((each) => each.item_id));
    const fetched = performance.now();
    const isNew = ({ item_id: id }) => !known.has(id) && (this.#filter.name === "decided" || !this.#away.has(id));
    return items.filter(isNew).map((each) => ({ ...each, fetched, ask: null }));
  }

  #ahead() {
    this.cases.slice(this.#at, this.#at + 1 + READY_AHEAD).forEach((each) => this.prepare(each));
    if (!this.#whole && this.cases.length - this.#at < LEAST_AHEAD) this.more();
  }

  async #load(item, ask, image, tries) {
    image.decoding = "sync"; // when it is on the page it is painted, never a frame later
    image.draggable = false;
    image.src = ask.claim.media_url;
    try {
      await image.decode();
      ask.image = image;
    } catch {
      if (this.#stopped) return;
      if (tries < PICTURE_TRIES) {
        setTimeout(() => this.#load(item, ask, image, tries + 1), 400 * 3 ** (tries - 1));
        return;
      }
      ask.broken = true;
    }
    ask.ready = true;
    if (item.ask === ask) this.#on.ready(item);
  }
}

// Among which of the counts a case is.
function placeOf({ decision, thread, causes }) {
  if (decision) return "decided";
  if (thread.some(({ returned_to: to, done }) => to !== null && !done)) return "sent_back";
  return causes.length ? "waiting" : "against";
}

function thumbnailOf(url, size = NEIGHBOUR_SIZE) {
  return `${url}?size=${size}`;
}
