// Keeps what is marked data-live up to date: the server says that something changed, the page asks for itself again
// and changes in place what is different. Without JavaScript the pages read the same, they only do not move.
(() => {
  const slow = 15000;
  let source = null, lost = false, busy = false, again = false;

  // Makes `old` like `fresh` and keeps every node that can stay, with its focus and its selection.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
    if (old.nodeType !== Node.ELEMENT_NODE) { if (old.data !== fresh.data) old.data = fresh.data; return; }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    children(old, fresh);
  };
  const children = (old, fresh) => {
    const wanted = [...fresh.childNodes], held = [...old.childNodes];
    wanted.forEach((node, i) => (held[i] ? morph(held[i], node) : old.append(node)));
    held.slice(wanted.length).forEach((node) => node.remove());
  };

  // Rows keep their place under the pointer and for who reads further down: what came in says so instead.
  const rows = (area, fresh) => {
    const known = new Map([...area.querySelectorAll("[data-key]")].map((row) => [row.dataset.key, row]));
    const next = [...fresh.querySelectorAll("[data-key]")];
    const newer = next.filter((row) => !known.has(row.dataset.key)).length;
    const held = area.matches(":hover") || area.contains(document.activeElement) || area.getBoundingClientRect().top < 0;
    if (!newer || !known.size || !held) { morph(area, fresh); return; }
    for (const row of next) if (known.has(row.dataset.key)) morph(known.get(row.dataset.key), row);
    announce(area, newer, newer === next.length);
  };
  const announce = (area, newer, all) => {
    let note = area.querySelector(".newer");
    if (!note) {
      note = document.createElement("button");
      note.className = "newer";
      note.setAttribute("role", "status");
      note.addEventListener("click", () => location.reload());
      area.prepend(note);
    }
    note.textContent = `${newer}${all ? " or more" : ""} new: show ${newer === 1 && !all ? "it" : "them"}`;
  };

  const connection = (text) => {
    const place = document.getElementById("connection");
    if (place) place.textContent = text;
  };
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      // Whoever was signed out meanwhile is asked to sign in, and comes back here.
      if (answer.redirected) { location.reload(); return; }
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.body.dataset.seen = next.body.dataset.seen || "";
      for (const area of document.querySelectorAll("[data-live]")) {
        const fresh = next.getElementById(area.id);
        if (fresh) (area.dataset.live === "rows" ? rows : morph)(area, fresh);
      }
      count();
    } catch {
      connection("not connected, trying again");
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  };

  // Relative times go on counting, in the units of the server.
  const coarse = (s) => (s < 60 ? `${s} s` : s < 7200 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} days`);
  const count = () => {
    for (const time of document.querySelectorAll("time[data-relative]")) {
      const s = Math.trunc((Date.parse(time.dateTime) - Date.now()) / 1000);
      const text = s === 0 ? "now" : s > 0 ? `in ${coarse(s)}` : `${coarse(-s)} ago`;
      if (time.textContent !== text) time.textContent = text;
    }
  };

  // A page that nobody looks at holds no connection: browsers allow six to one server.
  const listen = () => {
    if (document.hidden) { source?.close(); source = null; return; }
    if (source) return;
    source = new EventSource(`${document.body.dataset.base}/events?seen=${encodeURIComponent(document.body.dataset.seen || "")}`);
    source.addEventListener("changed", refresh);
    source.addEventListener("error", () => { lost = true; connection("not connected, trying again"); });
    source.addEventListener("open", () => { if (lost) refresh(); lost = false; });
  };
  if (!document.querySelector("[data-live]") || !window.EventSource) return;
  document.addEventListener("look-again", refresh);
  document.addEventListener("visibilitychange", listen);
  listen();
  setInterval(count, 1000);
  // A bar moves every second, until the page no longer says that it does.
  setInterval(() => { if (!document.hidden && document.querySelector("[data-soon]")) refresh(); }, 1000);
  // What no figure tells, such as one old job's next attempt, is looked up now and then.
  setInterval(() => { if (!document.hidden) refresh(); }, slow);
})();
