//! Which handler does which kind: the only place where payload bytes become typed jobs.
//!
//! A payload that does not fit its type is a permanent error, because no retry can mend it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
};

use crate::{Handler, Job, JobContext, JobError, JobOptions, JobResult, Kind, Reason};

/// Kinds that a worker has a handler for.
pub type Kinds = Arc<BTreeSet<Kind>>;

type Running = Pin<Box<dyn Future<Output = JobResult> + Send>>;

/// A handler whose job type is forgotten.
trait Erased: Send + Sync {
    fn handle(self: Arc<Self>, context: JobContext) -> Running;
}

struct Typed<J, H>(H, PhantomData<fn(J)>);

impl<J: Job, H: Handler<J>> Erased for Typed<J, H> {
    fn handle(self: Arc<Self>, context: JobContext) -> Running {
        Box::pin(async move {
            let job = decode::<J>(&context)?;
            self.0.handle(job, context).await
        })
    }
}

struct Raw<F>(F);

impl<F, R> Erased for Raw<F>
where
    F: Fn(JobContext) -> R + Send + Sync + 'static,
    R: Future<Output = JobResult> + Send + 'static,
{
    fn handle(self: Arc<Self>, context: JobContext) -> Running {
        Box::pin((self.0)(context))
    }
}

fn decode<J: Job>(context: &JobContext) -> Result<J, JobError> {
    serde_json::from_slice(&context.envelope().payload).map_err(|error| {
        let problem = without_text(&error.to_string());
        JobError::dead_letter(Reason::Malformed, format!("the payload is no {}: {problem}", J::KIND))
    })
}

/// An error of serde without the text that it quotes: payloads are not logged.
fn without_text(error: &str) -> String {
    match (error.find('"'), error.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}\"…\"{}", &error[..first], &error[last + 1..])
        }
        _ => error.to_owned(),
    }
}

/// The handlers that a worker has, by kind.
///
/// ```
/// # use backshift_core as backshift;
/// # use backshift::{Job, JobContext, JobResult};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Resize { picture: u64 }
/// # impl Job for Resize { const KIND: &'static str = "picture.resize"; }
/// # #[derive(Serialize, Deserialize)]
/// # struct Invoice { order: u64 }
/// # impl Job for Invoice { const KIND: &'static str = "invoice.send"; }
/// use backshift::{Handler, Registry};
///
/// /// Any `async fn(MyJob, JobContext) -> JobResult` is a handler.
/// async fn resize(job: Resize, _: JobContext) -> JobResult {
///     println!("picture {}", job.picture);
///     Ok(())
/// }
///
/// /// One that needs something owns it.
/// struct Biller {
///     api_key: String,
/// }
///
/// impl Handler<Invoice> for Biller {
///     async fn handle(&self, job: Invoice, context: JobContext) -> JobResult {
///         println!("order {} with key {} as request {}", job.order, self.api_key.len(), context.id());
///         Ok(())
///     }
/// }
///
/// let registry = Registry::default().with(resize).with(Biller { api_key: "…".into() });
/// assert_eq!(registry.kinds(), ["invoice.send", "picture.resize"]);
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    entries: HashMap<String, (Arc<dyn Erased>, JobOptions)>,
    /// Where the jobs of typed kinds stand unless their producer says otherwise.
    queues: BTreeMap<String, &'static str>,
    /// Kinds that were configured and have no handler.
    unset: BTreeSet<String>,
}

impl Registry {
    /// Adds the handler of a typed job; a later handler of the same kind replaces the earlier one.
    #[must_use]
    pub fn with<J: Job>(mut self, handler: impl Handler<J>) -> Self {
        let erased = Arc::new(Typed::<J, _>(handler, PhantomData));
        self.entries.insert(J::KIND.to_owned(), (erased, J::options()));
        self.queues.insert(J::KIND.to_owned(), J::QUEUE);
        self
    }

    /// Adds a handler that reads the payload bytes itself: for foreign formats with a decoder of their own.
    #[must_use]
    pub fn with_raw<F, R>(mut self, kind: &Kind, options: JobOptions, handler: F) -> Self
    where
        F: Fn(JobContext) -> R + Send + Sync + 'static,
        R: Future<Output = JobResult> + Send + 'static,
    {
        self.entries.insert(kind.as_str().to_owned(), (Arc::new(Raw(handler)), options));
        self.queues.remove(kind.as_str());
        self
    }

    /// Changes the options of a kind that has its handler already, for numbers that come from configuration. A worker says at its
    /// start which kinds had none.
    #[must_use]
    pub fn configure(mut self, kind: &str, change: impl FnOnce(&mut JobOptions)) -> Self {
        match self.entries.get_mut(kind) {
            Some((_, options)) => {
                change(options);
                self.unset.remove(kind);
            }
            None => drop(self.unset.insert(kind.to_owned())),
        }
        self
    }

    /// The numbers of a kind; `None` = nobody here does it.
    pub fn options(&self, kind: &Kind) -> Option<&JobOptions> {
        self.entries.get(kind.as_str()).map(|(_, options)| options)
    }

    /// The kinds whose options were changed before they had a handler and not again since, so that the change is lost.
    pub fn unset(&self) -> impl Iterator<Item = &str> {
        self.unset.iter().map(String::as_str)
    }

    /// Every kind that has a handler, sorted.
    pub fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<_> = self.entries.keys().map(String::as_str).collect();
        kinds.sort_unstable();
        kinds
    }

    /// The typed kinds, and the queue that each one's jobs stand in unless their producer says otherwise.
    pub fn queues(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.queues.iter().map(|(kind, queue)| (kind.as_str(), *queue))
    }

    /// The same as a set that can be handed on; a kind whose name is not legal is never delivered.
    pub fn known(&self) -> Kinds {
        Arc::new(self.entries.keys().filter_map(|kind| Kind::new(kind).ok()).collect())
    }

    /// Starts the handler of the context's kind; `None` = nobody here does it.
    pub fn handle(&self, context: JobContext) -> Option<Running> {
        let (handler, _) = self.entries.get(context.kind().as_str())?;
        Some(Arc::clone(handler).handle(context))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.kinds()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{Envelope, QueueName, Timestamp, Verdict, WorkerName};

    #[derive(Debug, Serialize, Deserialize)]
    struct Greet {
        name: String,
        times: u64,
    }

    impl Job for Greet {
        const KIND: &'static str = "greet";
    }

    async fn greet(job: Greet, _: JobContext) -> JobResult {
        assert_eq!((job.name.as_str(), job.times), ("Ada", 9_007_199_254_740_993));
        Ok(())
    }

    async fn handled(payload: &[u8]) -> JobResult {
        let queue = QueueName::new("q").unwrap();
        let envelope =
            Envelope::new(Kind::new("greet").unwrap(), queue, payload.to_vec(), Timestamp::UNIX_EPOCH);
        let worker = WorkerName::new("w").unwrap();
        let context = JobContext::new(envelope, worker, CancellationToken::new());
        Registry::default().with::<Greet>(greet).handle(context).unwrap().await
    }

    #[tokio::test]
    async fn a_payload_that_is_not_the_job_is_malformed_and_never_reaches_the_handler() {
        handled(br#"{"name":"Ada","times":9007199254740993,"more":1}"#).await.unwrap();
        let deep = format!(r#"{{"name":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        let large = format!(r#"{{"name":5,"x":"{}"}}"#, "x".repeat(10_000_000));
        for bad in [
            &b""[..],
            b"{",
            b"null",
            b"[]",
            b"\xff",
            br#"{"name":"Ada"}"#,
            br#"{"name":null,"times":1}"#,
            br#"{"name":"Ada","times":"1"}"#,
            br#"{"name":"Ada","times":-1}"#,
            br#"{"name":"Ada","name":"Eve","times":1}"#,
            br#"{"name":"\ud800","times":1}"#,
            deep.as_bytes(),
            large.as_bytes(),
        ] {
            let shown = String::from_utf8_lossy(&bad[..bad.len().min(60)]).into_owned();
            let error = handled(bad).await.expect_err(&shown);
            assert_eq!(*error.verdict(), Verdict::DeadLetter(Reason::Malformed), "{shown}");
            assert!(error.message().starts_with("the payload is no greet: "), "{error}");
        }
        let quoted = handled(br#"{"name":"Ada","times":"hunter2 \" x"}"#).await.unwrap_err();
        assert!(
            quoted.message().contains("expected u64") && !quoted.message().contains("hunter2"),
            "{quoted}"
        );
    }

    #[test]
    fn a_kind_that_is_configured_again_with_its_handler_is_no_doubt() {
        let early = Registry::default().configure("greet", |options| options.max_attempts = Some(3));
        let kind = Kind::new("greet").unwrap();
        let handled = early.with_raw(&kind, JobOptions::default(), |_| async { Ok(()) });
        assert_eq!(handled.unset().collect::<Vec<_>>(), ["greet"], "its change was lost");
        let again = handled.configure("greet", |options| options.max_attempts = Some(3));
        assert_eq!(again.unset().count(), 0);
        assert_eq!(again.options(&kind).map(|options| options.max_attempts), Some(Some(3)));
    }
}
