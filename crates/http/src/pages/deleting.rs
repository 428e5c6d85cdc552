//! One job is deleted: asked with what follows, then done. And what is left of it: who did it.

use axum::{
    Form,
    extract::Path,
    response::{IntoResponse, Redirect, Response},
};
use backshift_core::{Deed, JobId, JobRecord, Store, StoreError, Timestamp, store::KEPT_AT_LEAST};
use minijinja::context;
use serde::Deserialize;

use super::{Here, Pages, link, mask, stopped, words};

/// Characters of what a person wrote.
const SAID: usize = 300;

/// Why.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    why: String,
}

/// Whether its broker may still deliver it, and would run it anew.
fn stays(job: &JobRecord, now: Timestamp) -> bool {
    let recent = |ended: Timestamp| ended.checked_add(KEPT_AT_LEAST).is_ok_and(|until| until > now);
    job.is_foreign && job.finished_at.is_none_or(recent)
}

/// `GET /jobs/{id}/delete`: the question.
pub(super) async fn ask(Here(pages): Here, Path(id): Path<String>) -> Response {
    let job = match find(&pages, &id).await {
        Ok(job) if job.state.is_final() => job,
        Ok(_) => return pages.away(&not_over()),
        Err(error) => return pages.away(&error),
    };
    let stays = stays(&job, Timestamp::now());
    let follows = match stays {
        true => vec![
            "It stays for now: its broker may deliver it again until a day after its end, and would run it anew.",
        ],
        false => vec![
            "It is gone with its attempts and cannot be brought back.",
            "Who deleted it, and why, stays on record.",
        ],
    };
    let values = context! {
        title => "Delete", question => format!("Delete this {}, which {}?", job.kind, words::does(&job)), kind => job.kind.as_str(),
        id => job.id.to_string(), href => link::job(job.id), follows, stays,
    };
    pages.framed("/jobs", "delete.html", values).await
}

/// `POST /jobs/{id}/delete`: the answer was yes.
pub(super) async fn delete(Here(pages): Here, Path(id): Path<String>, Form(wish): Form<Wish>) -> Response {
    let job = match find(&pages, &id).await {
        Ok(job) => job,
        Err(error) => return pages.away(&error),
    };
    let result = pages.store.act(Deed::Delete, job.id, &pages.hand(&wish.why)).await;
    pages.watch.forget();
    match result {
        Ok(state) => Redirect::to(&pages.at(&format!("/jobs?state={}", state.as_str()))).into_response(),
        Err(_) if !job.state.is_final() => pages.away(&not_over()),
        Err(error) => pages.away(&error),
    }
}

fn not_over() -> StoreError {
    StoreError::Rejected("Only what is over is deleted. Cancel it first.".into())
}

/// The job of an address, or who deleted it.
pub(super) async fn find(pages: &Pages, id: &str) -> Result<JobRecord, StoreError> {
    let strange = || StoreError::NotFound(format!("There is no job {}.", mask::said(id, 80)));
    let id: JobId = id.parse().map_err(|_| strange())?;
    match pages.store.find(id).await? {
        Some(job) => Ok(job),
        None => Err(StoreError::NotFound(gone(&*pages.store, id).await?)),
    }
}

/// That there is no such job, and by whose hand, if one is on record.
pub async fn gone(store: &dyn Store, id: JobId) -> Result<String, StoreError> {
    let hands = store.last_hands(&[id]).await?;
    Ok(match hands.first() {
        Some(hand) if hand.deed == Deed::Delete.as_str() => {
            let (who, why) = (stopped::who(hand), stopped::why(hand, SAID));
            format!("There is no job {id} any more. {who} deleted it at {}{why}", words::full(hand.at))
        }
        Some(_) => format!("There is no job {id} any more. Finished jobs are deleted after a while."),
        None => format!("There is no job {id}. Finished jobs are deleted after a while."),
    })
}
