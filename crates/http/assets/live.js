// Keeps what is marked data-live up to date: the server says that something changed, the page asks for itself again.
// Without JavaScript the pages read the same, they only do not move.
(() => {
  const areas = () => [...document.querySelectorAll("[data-live]")];
  if (!areas().length || !window.EventSource) return;
  let busy = false, again = false;
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (answer.ok) {
        const next = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const area of areas()) {
          const fresh = next.getElementById(area.id);
          const held = area.matches(":hover") && area.dataset.live === "rows";
          if (!fresh || fresh.innerHTML === area.innerHTML || area.contains(document.activeElement)) continue;
          if (held) { announce(area); continue; }
          area.replaceChildren(...fresh.childNodes);
        }
      }
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  };
  // A list that would move under the pointer says so instead.
  const announce = (area) => {
    const note = document.getElementById("live-note");
    if (note) { note.textContent = "Newer rows are there: move the pointer away to see them."; }
    area.addEventListener("mouseleave", () => { if (note) note.textContent = ""; refresh(); }, { once: true });
  };
  const source = new EventSource("/events");
  source.addEventListener("changed", refresh);
})();
