//! What keeps deliveries of a queue from being settled, for whoever asks whether the worker is ready.
//!
//! Two sorts: a copy that the server does not take while its delivery waits here, and an object that the worker will
//! need and that could not be made when it looked. Each stands until it is over.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use backshift_core::{BrokerError, QueueName};

/// The troubles of all queues. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Troubles(Arc<Mutex<BTreeMap<QueueName, Trouble>>>);

#[derive(Default)]
struct Trouble {
    /// Deliveries that wait here for their copy.
    waiting: usize,
    copy: Option<String>,
    objects: Option<String>,
    /// Somebody looks again and again whether the objects can be made.
    watched: bool,
}

/// One delivery that waits for its copy; over when it is dropped.
pub(super) struct Waiting {
    troubles: Troubles,
    queue: QueueName,
}

impl Troubles {
    /// One more delivery of this queue waits.
    pub(super) fn wait(&self, queue: &QueueName) -> Waiting {
        self.all().entry(queue.clone()).or_default().waiting += 1;
        Waiting { troubles: self.clone(), queue: queue.clone() }
    }

    /// Takes the duty to look after the queue's objects; `false` = somebody has it.
    pub(super) fn begin_watch(&self, queue: &QueueName) -> bool {
        !std::mem::replace(&mut self.all().entry(queue.clone()).or_default().watched, true)
    }

    /// The objects are there.
    pub(super) fn end_watch(&self, queue: &QueueName) {
        let mut all = self.all();
        let trouble = all.entry(queue.clone()).or_default();
        (trouble.watched, trouble.objects) = (false, None);
    }

    /// An object cannot be made.
    pub(super) fn object(&self, queue: &QueueName, error: &BrokerError) {
        self.all().entry(queue.clone()).or_default().objects = Some(error.to_string());
    }

    /// In words; `None` = all is well.
    pub(super) fn of(&self, queue: &QueueName) -> Option<String> {
        let all = self.all();
        let trouble = all.get(queue)?;
        let objects =
            trouble.objects.as_ref().map(|cause| format!("retries or dead letters will fail: {cause}"));
        let copy = trouble.copy.as_ref().filter(|_| trouble.waiting > 0).map(|cause| {
            format!(
                "{} deliveries wait because their retry or dead letter cannot be published: {cause}",
                trouble.waiting
            )
        });
        copy.or(objects)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<QueueName, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Why its copy was not published this time.
    pub(super) fn because(&self, error: &BrokerError) {
        if let Some(trouble) = self.troubles.all().get_mut(&self.queue) {
            trouble.copy = Some(error.to_string());
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(trouble) = self.troubles.all().get_mut(&self.queue) {
            trouble.waiting = trouble.waiting.saturating_sub(1);
        }
    }
}
