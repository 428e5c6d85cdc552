//! How the pages lie on screens of four widths, without scripts too, and what the keys do: measured by a page that frames ours.
//!
//! The framing page comes from the same origin, which is the only one that ours may be framed by.

use axum::{Router, response::Html, routing::get};
use backshift_http::server;
use backshift_testkit::programs;
use serde_json::Value;

use super::{
    chromium::{Port, look},
    house::House,
};

/// Measures each page at each width and presses keys; writes what it found as JSON into its body.
const HARNESS: &str = r#"<!doctype html><body><script>
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

/// A house with long names, errors and a mail, and the page that measures it.
async fn furnished() -> (House, Vec<String>) {
    let house = House::open().await;
    let long = "customer.subscription.renewal.reminder.of.the.second.kind.with.a.long.name";
    let dead = house
        .enqueue(long, "a-queue-with-quite-a-long-name-for-a-queue", r#"{"to":"anna@example.com"}"#)
        .await;
    house
        .kill("a-queue-with-quite-a-long-name-for-a-queue", &"550 5.1.1 no such mailbox here ".repeat(20))
        .await;
    house.enqueue("k", "later", "{}").await;
    house.fail("later", "450 4.2.1 mailbox busy", std::time::Duration::from_secs(3600)).await;
    house.enqueue("k", "waits", "{}").await;
    house.post("/queues/waits/pause", "").await;
    house.post("/queues/waits/resume", "").await;
    house
        .post(
            "/signup",
            "email=a.very.long.address.of.somebody%40subdomain.example.com&password=correct+horse",
        )
        .await;
    house.work("identity").await;
    let mail = house.mailbox.list(0, 1).await.unwrap().0.pop().unwrap().id;
    let paths = ["/overview", "/jobs", "/queues", "/workers", "/mailbox", "/signin"].map(str::to_owned);
    let pages = paths.into_iter().chain([
        format!("/jobs/{dead}"),
        format!("/mailbox/{mail}"),
        "/jobs?find=nowhere".into(),
        "/jobs?state=dead".into(),
        "/causes".into(),
        "/hands".into(),
        "/many?deed=retry&state=dead".into(),
    ]);
    (house, pages.collect())
}

async fn measured(house: &House, pages: &[String]) -> Vec<Value> {
    let harness = HARNESS.replace("PAGES", &serde_json::to_string(pages).unwrap());
    let measure = Router::new().route("/measure", get(move || async move { Html(harness) }));
    let port = Port::open(server::finish(house.app.clone().merge(measure))).await;
    let seen = look(&format!("{}/measure", port.base)).await;
    port.close().await;
    let (_, json) =
        seen.dom.split_once("<output>").unwrap_or_else(|| panic!("{}\n{}", seen.console, seen.dom));
    let json = json.split("</output>").next().unwrap();
    let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", " ").replace("&amp;", "&");
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

#[tokio::test]
async fn nothing_overflows_and_tables_stay_tables_while_they_fit() {
    if programs::require("chromium").is_none() {
        return;
    }
    let (house, pages) = furnished().await;
    let seen = measured(&house, &pages).await;
    assert_eq!(seen.len(), pages.len() * 4, "{seen:#?}");
    for page in &seen {
        assert_eq!(page["error"], Value::Null, "{page:#}");
        let width = page["width"].as_u64().unwrap();
        assert_eq!(
            (&page["wide"], page["beyond"].as_array().unwrap().len()),
            (&Value::Bool(false), 0),
            "{page:#}"
        );
        let table = page["table"].as_str().unwrap();
        let wanted = if width < 900 { "block" } else { "table" };
        assert!(table.is_empty() || table == wanted, "a table of {width} px is shown as {table}: {page:#}");
        assert!(
            page["parts"].as_array().unwrap().iter().all(|parts| *parts == 1),
            "a time falls apart: {page:#}"
        );
        assert_eq!(page["bare"], 0, "a link in a sentence that colour alone tells: {page:#}");
        assert_eq!(page["traps"], 0, "something that scrolls inside the page: {page:#}");
        let rail = page["rail"].as_str().unwrap();
        assert!(rail.is_empty() || (rail == "sticky") == (width > 960), "{page:#}");
        let framed = !rail.is_empty() && page["page"] != "/signin";
        assert!(
            !framed || page["used"].as_f64().unwrap() > width as f64 * 0.85,
            "a part of the screen is left empty: {page:#}"
        );
    }
    let keys =
        seen.iter().find(|page| page["page"] == "/jobs" && page["width"] == 1280).unwrap()["keys"].clone();
    let keys = keys.as_array().unwrap();
    assert!(keys[0].as_str().unwrap().starts_with("/jobs/") && keys[0] != keys[1], "{keys:?}");
    assert_eq!(keys[2], keys[0], "k goes back");
    assert_eq!(
        keys[3..],
        [Value::Bool(true), Value::Bool(false), "find".into(), "find".into()],
        "letters that are typed are no keys"
    );
}
