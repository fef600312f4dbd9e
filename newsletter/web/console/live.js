// Shows a send as it moves. Without this the page says how it stood when it was loaded.
"use strict";
for (const place of document.querySelectorAll("[data-live]")) {
  const began = place.dataset.state;
  const source = new EventSource(place.dataset.live);
  source.onmessage = (event) => {
    const live = JSON.parse(event.data);
    for (const part of place.querySelectorAll("[data-value]")) {
      const text = String(live[part.dataset.value] ?? "");
      if (part.textContent !== text) part.textContent = text;
    }
    for (const line of place.querySelectorAll("[data-if]")) line.hidden = !live[line.dataset.if];
    const bar = place.querySelector("progress");
    if (bar) { bar.max = live.audience || 1; bar.value = live.audience - live.open; }
    if (live.state !== began) { source.close(); location.reload(); }
  };
}
