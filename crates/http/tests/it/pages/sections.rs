//! A domain's own pages among ours: its templates, its room and its number, what it knows of a job, and the guards around it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use axum::{
    Extension, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use backshift_core::JobId;
use backshift_http::pages::{Here, Pages, Room, Section, Trace};
use minijinja::context;

use super::house::{HOSTILE, House, finish};

#[derive(Default)]
struct Toys(AtomicU64);

#[async_trait]
impl Section for Toys {
    fn templates(&self) -> &'static [(&'static str, &'static str)] {
        &[("toys.html", "{% extends \"frame.html\" %}{% block work %}<h1>{{ said }}</h1>{% endblock %}")]
    }

    fn rooms(&self) -> &'static [Room] {
        &[Room { name: "Toys", href: "/toys" }]
    }

    fn router(self: Arc<Self>) -> Router<Pages> {
        Router::new().route("/toys", get(toys).post(another)).layer(Extension(self))
    }

    async fn count(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst))
    }

    async fn trace(&self, _: JobId) -> Option<Trace> {
        Some(Trace { name: "Toy", text: HOSTILE.to_owned(), href: "/toys".to_owned() })
    }
}

async fn toys(Here(pages): Here) -> Response {
    pages.framed("/toys", "toys.html", context! { title => "Toys", said => HOSTILE }).await
}

async fn another(Extension(toys): Extension<Arc<Toys>>) -> Response {
    toys.0.fetch_add(7, Ordering::SeqCst);
    StatusCode::NO_CONTENT.into_response()
}

#[tokio::test]
async fn a_section_has_its_room_its_number_and_its_facts_about_a_job() {
    let house = House::with(async |_, _| vec![Arc::new(Toys(AtomicU64::new(1204))) as _]).await;
    let page = house.get("/toys").await;
    assert!(
        page.text.contains("aria-current=\"page\">Toys<span class=\"count\">1,204</span>"),
        "{}",
        page.text
    );
    assert!(!page.text.contains("<script>alert") && page.text.contains("&lt;script&gt;"), "{}", page.text);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    let id = house.enqueue("k", "q", "{}").await;
    let job = house.get(&format!("/jobs/{id}")).await.text;
    assert!(job.contains("<dt>Toy</dt><dd><a href=\"/toys\">") && !job.contains("<script>alert"), "{job}");
}

#[tokio::test]
async fn where_nothing_may_be_changed_a_section_s_forms_are_refused_too() {
    let toys = Arc::new(Toys::default());
    let house = House::open().await;
    let with = |pages: Pages| finish(pages.with_sections(vec![Arc::clone(&toys) as _]));
    let open = House { app: with(house.pages()), ..house };
    assert_eq!(open.post("/toys", "").await.status, StatusCode::NO_CONTENT);
    let shut = House { app: with(open.pages().read_only(true)), ..open };
    assert_eq!(shut.get("/toys").await.status, StatusCode::OK);
    assert_eq!(shut.post("/toys", "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(toys.0.load(Ordering::SeqCst), 7);
}
