// Shows a send as it moves. Without this the page says how it stood when it was loaded.
"use strict";
const cell = (text, label) => {
  const made = document.createElement(label ? "td" : "th");
  if (label) { made.className = "number"; made.dataset.label = label; } else made.scope = "row";
  made.textContent = text;
  return made;
};
const row = (texts, heads) => {
  const made = document.createElement("tr");
  made.append(...texts.map((text, at) => cell(text, at && heads[at].textContent)));
  return made;
};
for (const place of document.querySelectorAll("[data-live]")) {
  const began = place.dataset.state;
  const source = new EventSource(place.dataset.live);
  source.onmessage = (event) => {
    const live = JSON.parse(event.data);
    for (const part of place.querySelectorAll("[data-value]")) {
      const text = String(live[part.dataset.value] ?? "");
      if (part.textContent !== text) part.textContent = text;
    }
    for (const line of place.querySelectorAll("[data-if]")) {
      const told = live[line.dataset.if];
      line.hidden = Array.isArray(told) ? told.length === 0 : !told;
    }
    for (const body of place.querySelectorAll("[data-rows]")) {
      const heads = body.closest("table").querySelectorAll("thead th");
      body.replaceChildren(...live[body.dataset.rows].map((texts) => row(texts, heads)));
    }
    const bar = place.querySelector("progress");
    if (bar) { bar.max = live.audience || 1; bar.value = live.audience - live.open; }
    if (live.state !== began) { source.close(); location.reload(); }
  };
}
