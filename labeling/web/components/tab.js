// What one browser tab is to the server: an id that its leases name, and its last answers, which can be taken back.

const TAB = "askwise:tab"; // in sessionStorage: { client, past: { scope: [...] } }
const PARKED = 500_000; // characters of texts that are kept over a reload: storage is small

// A hidden or closing tab leaves its id in sessionStorage and takes it back when it is seen again, so that a reload
// finds its own leases, and a duplicate of a visible tab does not take it for its own.
const tab = attempt(() => JSON.parse(sessionStorage.getItem(TAB))) ?? { client: newId(), past: {} };
unpark();

function park() {
  const past = Object.fromEntries(Object.entries(tab.past).map(([scope, steps]) => [scope, parked(steps)]));
  attempt(() => sessionStorage.setItem(TAB, JSON.stringify({ client: tab.client, past })));
}

function unpark() {
  attempt(() => sessionStorage.removeItem(TAB));
}

// The newest steps that fit, without their pictures.
function parked(steps) {
  let room = PARKED;
  const kept = [];
  for (const step of [...steps].reverse()) {
    room -= (step.ask.claim.item.text ?? "").length;
    if (room < 0) break;
    kept.unshift({ ...step, ask: { ...step.ask, image: null } });
  }
  return kept;
}
