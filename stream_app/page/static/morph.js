// Makes one tree of elements like another, touching only what differs, so that focus, scroll and open parts stay.
// The other tree is a page of the server's own: what comes from the stream is escaped in it, and becomes text nodes here.

const KEPT = new Set(["open", "style"]); // what the reader, or the chart library, has set

export function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) { old.nodeValue = fresh.nodeValue; return; }
  attributes(old, fresh);
  if (old.classList.contains("plot") || old.matches("input:focus, select:focus")) return;
  children(old, fresh);
}

function attributes(old, fresh) {
  const plot = old.classList.contains("plot"); // plotly adds a class of its own
  for (const { name, value } of fresh.attributes) {
    if (!(plot && name === "class") && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
  }
}

function children(old, fresh) {
  const named = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
  let place = old.firstChild;
  for (const wanted of fresh.childNodes) {
    const mine = wanted.id ? named.get(wanted.id) : alike(place, wanted) ? place : null;
    if (mine) {
      if (mine !== place) old.insertBefore(mine, place);
      else place = place.nextSibling;
      morph(mine, wanted);
    } else {
      old.insertBefore(document.importNode(wanted, true), place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

const alike = (one, other) => one && !one.id && one.nodeName === other.nodeName && one.nodeType === other.nodeType;
