//! A page in a real Chromium: what a person sees, and what the console said.
//!
//! Whoever may do without a browser asks [`programs::require`] first.

use std::{io, time::Duration};

use serde_json::Value;

use crate::{pace, programs, wait};

/// The longest time that one page may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the browser made of a page.
#[derive(Debug)]
pub struct Seen {
    /// The document after its scripts have run.
    pub dom: String,
    /// The lines of the console.
    pub console: String,
}

/// Looks at a page in a window of this width.
///
/// # Errors
/// There is no browser, it does not end in time, or it fails.
pub async fn look(url: &str, width: u32) -> io::Result<Seen> {
    let profile = tempfile::tempdir()?;
    let mut command = programs::command("chromium")?;
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--dump-dom",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", &format!("--window-size={width},800")])
        // A page that was not there by then would be judged as it stands.
        .arg(format!("--timeout={}", pace::stretched(Duration::from_secs(20)).as_millis()))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .kill_on_drop(true);
    let output = wait::within(PATIENCE, command.output()).await;
    let output = output.ok_or_else(|| io::Error::other(format!("{url}: the browser does not end")))??;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(io::Error::other(format!("{url}: {}: {stderr}", output.status)));
    }
    let console: Vec<&str> = stderr.lines().filter(|line| line.contains("CONSOLE")).collect();
    Ok(Seen { dom: String::from_utf8_lossy(&output.stdout).into_owned(), console: console.join("\n") })
}

/// Measures each page at each width and presses keys; writes what it found as JSON into its body.
const MEASURE: &str = r#"<!doctype html><body><script>
const pages = PAGES, widths = [390, 900, 1280, 1920], seen = [];
const keyed = (page, width) => page.endsWith("/jobs") && width === 1280;
const frame = (page, width) => {
  const it = document.createElement("iframe");
  it.style.cssText = `width:${width}px;height:900px;border:0`;
  // Without scripts a page lies the same, and holds no stream: browsers open six connections to one server.
  it.sandbox = keyed(page, width) ? "allow-same-origin allow-scripts" : "allow-same-origin";
  it.src = page;
  it.onload = () => { try { seen.push(measure(it, page, width)); } catch (error) { seen.push({ page, width, error: `${error}` }); } };
  document.body.append(it);
};
const style = (node) => node && node.ownerDocument.defaultView.getComputedStyle(node);
const measure = (it, page, width) => {
  const doc = it.contentDocument, root = doc.scrollingElement, all = (query) => [...doc.querySelectorAll(query)];
  const beyond = all("main *").filter((node) => node.getBoundingClientRect().right > width + 1 && !node.closest(".sr, .stack thead")).map((node) => node.outerHTML.slice(0, 200));
  const press = (key) => doc.activeElement.dispatchEvent(new it.contentWindow.KeyboardEvent("keydown", { key, bubbles: true }));
  const keys = [];
  if (keyed(page, width)) {
    press("j"); keys.push(doc.activeElement.getAttribute("href"));
    press("j"); keys.push(doc.activeElement.getAttribute("href"));
    press("k"); keys.push(doc.activeElement.getAttribute("href"));
    press("?"); keys.push(!!doc.querySelector("dialog[open]"));
    press("?"); keys.push(!!doc.querySelector("dialog[open]"));
    press("/"); keys.push(doc.activeElement.id);
    press("j"); keys.push(doc.activeElement.id);
  }
  return {
    page, width, keys, beyond,
    wide: root.scrollWidth > root.clientWidth,
    table: style(all("table")[0])?.display || "",
    rail: style(all(".rail")[0])?.position || "",
    used: Math.max(0, ...all("main > *").map((node) => node.getBoundingClientRect().right)),
    parts: all("td[data-label=When]").map((cell) => [...cell.childNodes].filter((node) => node.nodeType !== 3 || node.data.trim()).length),
    bare: all("p a:not(.button), dd a").filter((link) => !style(link).textDecorationLine.includes("underline")).length,
    traps: all("iframe, pre, table").filter((node) => /auto|scroll/.test(style(node).overflowY) || (node.nodeName === "IFRAME" && style(node).pointerEvents !== "none")).length,
  };
};
for (const page of pages) for (const width of widths) frame(page, width);
onload = () => { const out = document.createElement("output"); out.textContent = JSON.stringify(seen); document.body.replaceChildren(out); };
</script>"#;

/// A page that frames each of these at four widths and measures how it lies. Serve it beside them: they may be framed by
/// their own origin alone.
pub fn measuring(pages: &[String]) -> String {
    MEASURE.replace("PAGES", &Value::from(pages.to_vec()).to_string())
}

/// What the page of [`measuring`] found, one object a page and width.
///
/// # Errors
/// As [`look`], and when the page said nothing.
pub async fn measured(url: &str) -> io::Result<Vec<Value>> {
    let seen = look(url, 360).await?;
    let said = seen.dom.split_once("<output>").and_then(|(_, rest)| rest.split("</output>").next());
    let said = said.ok_or_else(|| io::Error::other(format!("{}\n{}", seen.console, seen.dom)))?;
    let json = said.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", " ").replace("&amp;", "&");
    Ok(serde_json::from_str(&json)?)
}
