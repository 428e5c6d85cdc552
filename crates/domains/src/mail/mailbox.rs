//! The mailbox of `dev`: what the workers sent, kept here instead of being delivered.
//!
//! The HTML of a mail is foreign: it is shown in a sandboxed frame with a policy that runs and loads nothing.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Extension, Router,
    extract::Path,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use backshift_core::{JobId, StoreError, Timestamp};
use backshift_http::{
    pages::{Here, Pages, Room, Section, Trace, link, mask, words},
    templates,
};
use backshift_mail::{DevMailbox, StoredFile, StoredMail, StoredSummary};
use minijinja::{Value, context};

const ROWS: usize = 100;
/// Runs nothing, loads nothing, is framed by our own page only.
const FOREIGN: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; \
    base-uri 'none'; form-action 'none'; sandbox";

/// The pages of this mailbox.
pub struct Mailbox(pub Arc<DevMailbox>);

impl Mailbox {
    /// Where the list is.
    pub const HREF: &str = "/mailbox";
}

#[async_trait]
impl Section for Mailbox {
    fn templates(&self) -> &'static [(&'static str, &'static str)] {
        templates!["mail.html", "mailbox.html"]
    }

    fn rooms(&self) -> &'static [Room] {
        &[Room { name: "Mailbox", href: Self::HREF }]
    }

    fn doors(&self) -> &'static [Room] {
        self.rooms()
    }

    fn router(self: Arc<Self>) -> Router<Pages> {
        Router::new()
            .route(Self::HREF, get(list))
            .route("/mailbox/{id}", get(one))
            .route("/mailbox/{id}/html", get(html))
            .layer(Extension(self))
    }

    async fn count(&self) -> Option<u64> {
        self.0.list(0, 0).await.ok().map(|(_, total)| total as u64)
    }

    /// The newest mail that this job sent, among those that the list shows.
    async fn trace(&self, job: JobId) -> Option<Trace> {
        let (mails, _) = self.0.list(0, ROWS).await.ok()?;
        let mail = mails.into_iter().find(|mail| sender(&mail.message_id) == Some(job))?;
        Some(Trace { name: "Mail", href: address(&mail.id), text: mail.subject })
    }
}

/// The page of one mail.
fn address(id: &str) -> String {
    format!("{}/{}", Mailbox::HREF, link::encode(id))
}

type Kept = Extension<Arc<Mailbox>>;

/// `GET /mailbox`.
async fn list(Here(pages): Here, Extension(mailbox): Kept) -> Response {
    let (mails, total) = match mailbox.0.list(0, ROWS).await.map_err(unreadable) {
        Ok(found) => found,
        Err(error) => return pages.away(&error),
    };
    let sentence = match total {
        0 => "The mailbox is empty.".to_owned(),
        n => format!("{} here.", words::count(n as u64, "mail is", "mails are")),
    };
    let more = total.saturating_sub(mails.len());
    let rows: Vec<Value> = mails.iter().map(summary).collect();
    pages
        .framed("/mailbox", "mailbox.html", context! { title => "Mailbox", sentence, more, mails => rows })
        .await
}

/// `GET /mailbox/{id}`.
async fn one(Here(pages): Here, Extension(mailbox): Kept, Path(id): Path<String>) -> Response {
    let mail = match read(&mailbox, &id).await {
        Ok(mail) => mail,
        Err(error) => return pages.away(&error),
    };
    let file = |file: &StoredFile| {
        let size = words::count(file.size as u64, "byte", "bytes");
        mask::letter(&format!("{}, {}, {size}", file.name, file.content_type))
    };
    let values = context! {
        title => "Mail",
        mail => context! {
            html => mail.html.is_some(),
            text => mail.text.as_deref().map_or("(this mail has no text part)".to_owned(), mask::letter),
            attachments => mail.files.iter().map(file).collect::<Vec<_>>(),
            cc => mask::letter(&mail.cc.join(", ")),
            reply_to => mail.reply_to.as_deref().map(mask::letter),
            message_id => mask::letter(&mail.message_id),
            job => sender(&mail.summary.message_id).map(link::job),
            sent => mail.summary.date.map(words::full),
            ..summary(&mail.summary)
        },
    };
    pages.framed("/mailbox", "mail.html", values).await
}

/// `GET /mailbox/{id}/html`.
async fn html(Here(pages): Here, Extension(mailbox): Kept, Path(id): Path<String>) -> Response {
    match read(&mailbox, &id).await {
        Ok(StoredMail { html: Some(html), .. }) => {
            let headers =
                [(header::CONTENT_SECURITY_POLICY, FOREIGN), (header::X_FRAME_OPTIONS, "SAMEORIGIN")];
            (headers, Html(html)).into_response()
        }
        Ok(_) => (StatusCode::NOT_FOUND, "This mail has no HTML.\n").into_response(),
        Err(error) => pages.away(&error),
    }
}

async fn read(mailbox: &Mailbox, id: &str) -> Result<StoredMail, StoreError> {
    let gone = || StoreError::NotFound("This mail is not in the mailbox.".into());
    mailbox.0.read(id).await.map_err(unreadable)?.ok_or_else(gone)
}

/// The job whose id the Message-ID begins with.
fn sender(message_id: &str) -> Option<JobId> {
    message_id.split_once('@')?.0.parse().ok()
}

fn unreadable(error: std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("the mailbox cannot be read: {error}"))
}

fn summary(mail: &StoredSummary) -> Value {
    context! {
        id => &mail.id,
        href => Value::from_safe_string(address(&mail.id)),
        subject => if mail.subject.is_empty() { "(no subject)".to_owned() } else { mask::letter(&mail.subject) },
        to => mask::letter(&mail.to.join(", ")),
        from => mask::letter(&mail.from),
        when => mail.date.map(|at| words::moment(at, Timestamp::now())),
    }
}
