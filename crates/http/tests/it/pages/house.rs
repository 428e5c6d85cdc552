//! The pages over a store of their own, with whatever sections a test adds. Also part of the domains' tests.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use backshift_core::{
    Envelope, ErrorClass, ErrorReport, JobId, Kind, QueueName, Reason, Store, Timestamp, WorkerName,
    settle::{Ack, Completion, DeadLetter, Retry, Settlement},
    store::{Finish, Holder, Ledger, Start},
};
use backshift_http::{
    Shape,
    pages::{Pages, Section},
    server,
};
use backshift_store::{Database, Options, SqlStore, ledger, migrate};
use tower::ServiceExt;

/// Text that does harm wherever it is taken for HTML.
pub(super) const HOSTILE: &str =
    "<script>alert('owned')</script><img src=x onerror=alert('owned')>\"'><b>{{ 7*7 }}</b>\u{202e}";

pub(super) struct House {
    pub(super) app: Router,
    pub(super) store: SqlStore,
    pub(super) db: Database,
    pub(super) _kept: tempfile::TempDir,
}

/// One answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl House {
    pub(super) async fn open() -> Self {
        Self::with(async |_, _| Vec::new()).await
    }

    /// With the sections that are made of its store and of a directory that goes with it.
    pub(super) async fn with(sections: impl AsyncFnOnce(&Database, &Path) -> Vec<Arc<dyn Section>>) -> Self {
        let kept = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", kept.path().join("test.db").display());
        let db = Database::open(&url, &Options::default()).unwrap();
        migrate::up(&db, &[&migrate::ENGINE]).await.unwrap();
        let store = SqlStore::new(db.clone());
        let sections = sections(&db, kept.path()).await;
        let pages = Pages::new(Arc::new(store.clone()) as Arc<dyn Store>, "a test").with_sections(sections);
        Self { app: finish(pages), store, db, _kept: kept }
    }

    /// The pages for operators over the same store, to be put behind a door, under a path, and so on.
    pub(super) fn pages(&self) -> Pages {
        Pages::new(Arc::new(self.store.clone()) as Arc<dyn Store>, "a test")
    }

    pub(super) async fn enqueue(&self, kind: &str, queue: &str, payload: &str) -> JobId {
        let (kind, queue) = (Kind::new(kind).unwrap(), QueueName::new(queue).unwrap());
        let envelope = Envelope::new(kind, queue, payload.to_owned(), Timestamp::now());
        let mut accepted = ledger::enqueue(&self.db, "embedded", vec![envelope]).await;
        accepted.pop().unwrap().unwrap().id()
    }

    /// Starts the next job of a queue.
    pub(super) async fn claim(&self, queue: &str) -> (Envelope, Start) {
        let holder = Holder { worker: WorkerName::new("worker-1").unwrap(), lease: Duration::from_secs(30) };
        let queue = QueueName::new(queue).unwrap();
        ledger::claim_available(&self.db, &queue, 1, &holder).await.unwrap().pop().expect("a job is due")
    }

    pub(super) async fn finish(&self, start: Start, settlement: Settlement) {
        self.store.finish(vec![Finish { lease: start.lease, settlement, durable: true }]).await.unwrap();
    }

    pub(super) async fn complete(&self, queue: &str, note: Option<&str>) {
        let (_, start) = self.claim(queue).await;
        let completion = Completion { note: note.map(str::to_owned), ..Completion::default() };
        self.finish(start, Settlement::Ack(Ack::Completed(completion))).await;
    }

    pub(super) async fn kill(&self, queue: &str, error: &str) {
        let (_, start) = self.claim(queue).await;
        let letter = DeadLetter {
            reason: Reason::Permanent,
            error: ErrorReport::new(ErrorClass::Error, error),
            attempt: start.attempt,
        };
        self.finish(start, Settlement::DeadLetter(letter)).await;
    }

    pub(super) async fn fail(&self, queue: &str, error: &str, delay: Duration) {
        let (mut next, start) = self.claim(queue).await;
        next.attempt += 1;
        let error = Some(ErrorReport::new(ErrorClass::Error, error));
        self.finish(start, Settlement::Retry(Box::new(Retry { next, delay, counted: true, error }))).await;
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).header(header::ACCEPT, "text/html"), "").await
    }

    /// A form as a browser on the same page sends it.
    pub(super) async fn post(&self, path: &str, form: &str) -> Answer {
        let request = Request::post(path).header("sec-fetch-site", "same-origin");
        self.send(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded"), form).await
    }

    pub(super) async fn send(&self, request: axum::http::request::Builder, body: &str) -> Answer {
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 4 << 20).await.unwrap();
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }
}

/// The pages on a port of their own.
pub(super) fn finish(pages: Pages) -> Router {
    server::finish(pages.router(), Shape::Problem)
}
