// Keys for whose hands are there already: / searches, j and k walk through the rows, r looks again, ? tells all this.
// Without JavaScript everything is reached as ever, by Tab and Enter.
(() => {
  const base = document.body.dataset.base || "";
  const keys = [["/", "search jobs"], ["j", "next row"], ["k", "row before"], ["Enter", "open the row"], ["r", "look again"], ["?", "these keys"], ["Esc", "back"]];

  const rows = () => [...document.querySelectorAll("main tbody tr, main .needs li")].filter((row) => row.querySelector("a[href]"));
  const walk = (step) => {
    const all = rows(), here = all.findIndex((row) => row.contains(document.activeElement));
    const next = all[here < 0 ? (step > 0 ? 0 : all.length - 1) : here + step];
    if (!next) return;
    next.querySelector("a[href]").focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const search = () => {
    const field = document.getElementById("find");
    if (field) { field.focus(); field.select(); } else location.assign(`${base}/jobs#find`);
  };
  const tell = () => {
    const open = document.querySelector("dialog[open]");
    if (open) { open.close(); return; }
    const dialog = document.createElement("dialog"), title = document.createElement("h2"), list = document.createElement("dl");
    title.textContent = "Keys";
    dialog.setAttribute("aria-label", "Keys");
    for (const [key, what] of keys) {
      const name = document.createElement("dt"), mark = document.createElement("kbd"), meaning = document.createElement("dd");
      mark.textContent = key; meaning.textContent = what;
      name.append(mark); list.append(name, meaning);
    }
    const form = document.createElement("form"), button = document.createElement("button");
    form.method = "dialog"; button.className = "button"; button.textContent = "Close";
    form.append(button); dialog.append(title, list, form);
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  };
  const deeds = { "/": search, j: () => walk(1), k: () => walk(-1), r: () => document.dispatchEvent(new Event("look-again")), "?": tell };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input, textarea, select")) { if (event.key === "Escape") event.target.blur(); return; }
    const deed = deeds[event.key];
    if (!deed || (document.querySelector("dialog[open]") && event.key !== "?")) return;
    event.preventDefault();
    deed();
  });
  if (location.hash === "#find") search();
})();
