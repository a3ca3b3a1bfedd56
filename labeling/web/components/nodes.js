// How data reaches the page: as text only. Every node is made here, none is parsed.

const number = new Intl.NumberFormat("en");

function percent(share) {
  return `${Math.round(100 * share)} %`;
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

// A key as it is printed on the keyboard; what it does is said elsewhere.
function cap(key) {
  return make("kbd", { "aria-hidden": "true" }, key ?? "");
}

// The dot in a class's own colour. Only a plain #rrggbb is taken for one.
function swatch(colour) {
  const dot = make("span", { class: "swatch", "aria-hidden": "true" });
  if (/^#[0-9a-f]{6}$/i.test(colour ?? "")) dot.style.background = colour;
  else dot.hidden = true;
  return dot;
}

// After the frame that holds the change: the frame's callback runs just before the paint, the message just after.
function whenPainted(then) {
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      then(performance.now());
    };
    port2.postMessage(null);
  });
}

// The switch above that brought the person here would otherwise take the next Enter for itself.
function leaveSwitch() {
  const held = document.activeElement;
  if (held?.closest("[data-testid=stButtonGroup]")) held.blur();
}
