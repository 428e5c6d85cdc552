//! M1, M2: mails to Postfix' `smtp-sink` over ten connections, by us, by lettre and by Postfix' `smtp-source`.
//!
//! Every arm has a sink of its own that counts what it took; a count that differs from what was sent is not a result.
//! The mail is the same everywhere: HTML with its text, about 2.5 KiB on the wire.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Result, bail};
use backshift_mail::{Composer, EmailData, Message, NamedAddress};

use crate::{
    harness::{Arm, Bench, Goal, Row, Sample},
    ours::mail::Ours,
    raw::{
        mail::SmtpSource,
        mail_lettre::{LettrePool, LettreWithoutStall},
        mail_sink::Sink,
    },
};

/// Connections, and senders, of every arm.
pub(crate) const CONNECTIONS: u32 = 10;
/// The sender of every mail.
pub(crate) const FROM: &str = "noreply@smap.example";
/// Its recipient.
pub(crate) const TO: &str = "lan@example.com";
/// Its subject.
pub(crate) const SUBJECT: &str = "Your code for SMAP";
/// Its HTML, as a template renders it.
pub(crate) const HTML: &str = include_str!("mail.html");

const ROWS: &[Row] = &[
    Row {
        id: "M1",
        what: "sending, against lettre's stock pool",
        ours: "backshift",
        theirs: Some("lettre"),
        goal: Goal::AtLeast(20.0),
    },
    Row {
        id: "M1 built",
        what: "decoding, composing and sending, against lettre building and sending",
        ours: "backshift-build",
        theirs: Some("lettre-build"),
        goal: Goal::AtLeast(20.0),
    },
    Row {
        id: "M1 fair",
        what: "sending, against lettre's connection freed of its 40 ms stall",
        ours: "backshift",
        theirs: Some("lettre-nodelay"),
        goal: Goal::Reported,
    },
    Row {
        id: "M2",
        what: "sending, against smtp-source -s 10",
        ours: "backshift",
        theirs: Some("smtp-source"),
        goal: Goal::AtLeast(0.5),
    },
    Row {
        id: "M2 kept",
        what: "sending, against smtp-source -s 10 that keeps its connections",
        ours: "backshift",
        theirs: Some("smtp-source-kept"),
        goal: Goal::AtLeast(0.5),
    },
    Row {
        id: "M2 built",
        what: "decoding, composing and sending, against smtp-source -s 10",
        ours: "backshift-build",
        theirs: Some("smtp-source"),
        goal: Goal::AtLeast(0.5),
    },
    Row {
        id: "M2 built, kept",
        what: "decoding, composing and sending, against smtp-source that keeps its connections and composes nothing",
        ours: "backshift-build",
        theirs: Some("smtp-source-kept"),
        goal: Goal::Reported,
    },
];

/// The bench.
pub(crate) const MAIL: Bench = Bench {
    name: "mail",
    about: "Mails to Postfix' smtp-sink over 10 connections",
    arms: |_| Box::pin(async { Ok(arms()) }),
    rows: ROWS,
};

fn arms() -> Vec<Box<dyn Arm>> {
    vec![
        Box::new(LettrePool { builds: false }),
        Box::new(Ours { builds: false }),
        Box::new(SmtpSource { keeps: false }),
        Box::new(SmtpSource { keeps: true }),
        Box::new(LettreWithoutStall),
        Box::new(Ours { builds: true }),
        Box::new(LettrePool { builds: true }),
    ]
}

/// The payload of one mail job, as system C's producer writes it.
pub(crate) fn payload() -> Arc<[u8]> {
    let to = backshift_mail::EmailAddress::parse(TO).expect("the address is one");
    EmailData::new(to, SUBJECT, HTML).encode().into()
}

/// The message of the mail job of this number.
pub(crate) fn composed(number: u64) -> Result<Message> {
    let composer = Composer::new(NamedAddress::parse(FROM).map_err(anyhow::Error::msg)?);
    let email = backshift_mail::decode(&payload())?;
    Ok(composer.compose(&email, &format!("job-{number}"), jiff::Timestamp::now())?)
}

/// The sample, if the sink has taken what was sent.
pub(crate) fn counted(sink: &Sink, sample: Sample) -> Result<Sample> {
    match sink.taken()? {
        taken if taken == sample.jobs => Ok(sample),
        taken => bail!("{} mails were sent and the sink has taken {taken}", sample.jobs),
    }
}

/// Sends mails 0 to `mails` by as many senders as there are connections, each one mail after the other.
pub(crate) async fn spread<F, S>(mails: u64, send: S) -> Result<()>
where
    S: Fn(u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (next, send) = (Arc::clone(&next), send.clone());
        senders.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= mails {
                    return anyhow::Ok(());
                }
                send(number).await?;
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(())
}
