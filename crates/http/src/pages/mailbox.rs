//! The mailbox of `dev`: what the workers sent, kept here instead of being delivered.
//!
//! The HTML of a mail is foreign: it is shown in a sandboxed frame with a policy that runs and loads nothing.

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use backshift_core::{JobId, StoreError, Timestamp};
use backshift_mail::{DevMailbox, StoredFile, StoredMail, StoredSummary};
use minijinja::{Value, context};

use super::{Here, Pages, link, mask, words};

const ROWS: usize = 100;
/// Runs nothing, loads nothing, is framed by our own page only.
const FOREIGN: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; \
    base-uri 'none'; form-action 'none'; sandbox";

/// `GET /mailbox`.
pub(super) async fn list(Here(pages): Here) -> Response {
    let mails = match mailbox(&pages) {
        Ok(mailbox) => mailbox.list(0, ROWS).await.map_err(unreadable),
        Err(error) => Err(error),
    };
    let (mails, total) = match mails {
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
pub(super) async fn one(Here(pages): Here, Path(id): Path<String>) -> Response {
    let mail = match read(&pages, &id).await {
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
pub(super) async fn html(Here(pages): Here, Path(id): Path<String>) -> Response {
    match read(&pages, &id).await {
        Ok(StoredMail { html: Some(html), .. }) => {
            let headers =
                [(header::CONTENT_SECURITY_POLICY, FOREIGN), (header::X_FRAME_OPTIONS, "SAMEORIGIN")];
            (headers, Html(html)).into_response()
        }
        Ok(_) => (StatusCode::NOT_FOUND, "This mail has no HTML.\n").into_response(),
        Err(error) => pages.away(&error),
    }
}

fn mailbox(pages: &Pages) -> Result<&DevMailbox, StoreError> {
    pages.mailbox.as_deref().ok_or_else(|| StoreError::NotFound("There is no mailbox here.".into()))
}

async fn read(pages: &Pages, id: &str) -> Result<StoredMail, StoreError> {
    let gone = || StoreError::NotFound("This mail is not in the mailbox.".into());
    mailbox(pages)?.read(id).await.map_err(unreadable)?.ok_or_else(gone)
}

/// The newest mail that this job sent, among those that the list shows.
pub(super) async fn of_job(mailbox: &DevMailbox, job: JobId) -> Option<StoredSummary> {
    let (mails, _) = mailbox.list(0, ROWS).await.ok()?;
    mails.into_iter().find(|mail| sender(&mail.message_id) == Some(job))
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
        href => link::mail(&mail.id),
        subject => if mail.subject.is_empty() { "(no subject)".to_owned() } else { mask::letter(&mail.subject) },
        to => mask::letter(&mail.to.join(", ")),
        from => mask::letter(&mail.from),
        when => mail.date.map(|at| words::moment(at, Timestamp::now())),
    }
}
