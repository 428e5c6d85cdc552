//! The demo jobs of `dev`, and the page *Try it* that enqueues them. No other process knows them.

use backshift_core::Job as _;
use backshift_domains::demo::{self, DemoFlaky, DemoOk, DemoSlow};
use backshift_http::pages::{Demo, Trial};

use super::{Domain, Role, WorkedBy};
use crate::wiring::{Backend, own_queue};

pub(super) const DOMAIN: Domain = Domain {
    handlers: |equipment, registry| {
        Ok(if equipment.role == Role::Dev { demo::register(registry) } else { registry })
    },
    kinds: |_| [DemoOk::KIND, DemoSlow::KIND, DemoFlaky::KIND].map(|kind| (kind, WorkedBy::Dev)).into(),
    ..Domain::EMPTY
};

/// What the page *Try it* offers.
pub(crate) fn trial(backend: &Backend) -> Trial {
    let demo = |name, what, kind, payload, count| Demo { name, what, kind, payload, count };
    let demos = vec![
        demo("Enqueue one", "A job that succeeds at once.", DemoOk::KIND, "{}", 1),
        demo("Enqueue a slow one", "A job of ten seconds that says how far it is.", DemoSlow::KIND, "{}", 1),
        demo(
            "Enqueue a flaky one",
            "A job that fails twice and succeeds at the third attempt.",
            DemoFlaky::KIND,
            "{}",
            1,
        ),
        demo(
            "Enqueue a failing one",
            "A job that fails for good: it becomes a dead letter.",
            DemoOk::KIND,
            "{\"fail\":true}",
            1,
        ),
        demo("Enqueue 200", "Two hundred jobs at once.", DemoOk::KIND, "{}", 200),
    ];
    Trial { client: backend.client.clone(), demos, queue_of: |kind| own_queue(kind, None) }
}
