//! One mail over one connection: MAIL, RCPT, DATA, body, final dot.
//!
//! The trap: with PIPELINING a server may answer 354 to DATA although it refused the recipient. Then the
//! connection is dropped, never dotted: an empty mail to somebody would be worse than a new connection.

use std::time::Duration;

use super::connection::{Connection, Failed};
use super::dots::Dots;
use super::error::WireError;
use super::reply::Reply;
use crate::classify::classify;
use crate::message::Message;
use crate::outcome::{Class, Failure, Outcome, RecipientResult, RefusedCopy, SendReport, Stage};

/// After a failed write: time for the words that the server sent before it closed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What one mail over one connection came to.
pub(super) struct Delivery {
    pub(super) report: SendReport,
    /// The connection may carry another mail.
    pub(super) reusable: bool,
    /// It ended before MAIL was answered: on a reused connection that says nothing about this mail.
    pub(super) stale: bool,
}

/// Answers to the commands before the body, as far as they came.
struct Answers {
    mail: Reply,
    rcpt: Vec<Reply>,
    data: Option<Reply>,
    /// The connection failed or ended while the rest was read.
    broken: Option<Failed>,
}

impl Connection {
    /// Sends one message. Never fails: failures are outcomes.
    pub(super) async fn deliver(&mut self, message: &Message) -> Delivery {
        self.used += 1;
        if let Some(outcome) = self.unfit(message) {
            return Delivery { report: outcome.into(), reusable: true, stale: false };
        }
        let answers = match self.envelope(message).await {
            Ok(answers) => answers,
            Err(failed) => {
                let stale = failed.stage == Stage::Mail && failed.error.is_stale_connection();
                return Delivery { report: failed.into_outcome().into(), reusable: false, stale };
            }
        };
        if !answers.mail.is_positive() {
            let stale = answers.mail.code == 421;
            return self.refused(Stage::Mail, &answers.mail.clone(), answers, Vec::new(), stale).await;
        }
        let recipients = recipient_results(message, &answers.rcpt);
        match answers.rcpt.first() {
            Some(to) if to.is_positive() => self.content(message, answers, recipients).await,
            Some(to) => self.refused(Stage::Rcpt, &to.clone(), answers, recipients, false).await,
            None => {
                let outcome = answers.broken.map_or_else(cut_at_rcpt, Failed::into_outcome);
                Delivery { report: SendReport { outcome, recipients }, reusable: false, stale: false }
            }
        }
    }

    /// Size and encoding, judged by what the server said in EHLO: nothing is sent for nothing.
    fn unfit(&self, message: &Message) -> Option<Outcome> {
        let size = message.bytes().len();
        let text = match self.capabilities.max_size {
            Some(max) if size > max => format!("the mail has {size} bytes, the server takes {max}"),
            _ if !self.capabilities.eight_bit && !message.bytes().is_ascii() => {
                "the mail is not ASCII and the server does not take 8BITMIME".to_owned()
            }
            _ => return None,
        };
        Some(WireError::Message(text).into_outcome(Stage::Mail))
    }

    async fn envelope(&mut self, message: &Message) -> Result<Answers, Failed> {
        let pipelining = self.capabilities.pipelining;
        let mail = self.mail_command(message);
        let to = message.recipients().map(|to| (Stage::Rcpt, format!("RCPT TO:<{to}>\r\n")));
        let mut commands: Vec<_> = to.collect();
        // With copies DATA waits: whether To was accepted decides whether there is a mail at all.
        if pipelining && message.envelope().cc.is_empty() {
            commands.push((Stage::Data, "DATA\r\n".to_owned()));
        }
        if pipelining {
            let all: String =
                std::iter::once(&mail).chain(commands.iter().map(|(_, line)| line)).cloned().collect();
            let written = self.stream.write(all.as_bytes(), self.command_timeout).await;
            written.map_err(|error| Failed { stage: Stage::Mail, error })?;
        }
        let mail = self.answer(Stage::Mail, &mail).await?;
        let stop = stops(&mail, pipelining);
        let mut answers = Answers { mail, rcpt: Vec::new(), data: None, broken: None };
        if !stop {
            for (stage, line) in commands {
                let reply = self.answer(stage, &line).await;
                if answers.add(stage, reply, pipelining) {
                    break;
                }
            }
        }
        Ok(answers)
    }

    /// The answer to a command that pipelining has already sent, or that is sent now.
    async fn answer(&mut self, stage: Stage, line: &str) -> Result<Reply, Failed> {
        if !self.capabilities.pipelining {
            return self.command(stage, line).await;
        }
        let reply = self.stream.read_reply(self.command_timeout).await;
        reply.map_err(|error| Failed { stage, error })
    }

    fn mail_command(&self, message: &Message) -> String {
        let size =
            if self.capabilities.size { format!(" SIZE={}", message.bytes().len()) } else { String::new() };
        let body = if message.bytes().is_ascii() { "" } else { " BODY=8BITMIME" };
        format!("MAIL FROM:<{}>{size}{body}\r\n", message.envelope().from)
    }

    /// MAIL or To was refused: nothing is sent; the connection is reset if its state is known.
    async fn refused(
        &mut self,
        stage: Stage,
        reply: &Reply,
        answers: Answers,
        recipients: Vec<RecipientResult>,
        stale: bool,
    ) -> Delivery {
        let outcome = answer_to_outcome(stage, reply);
        let in_data = answers.data.is_some_and(|data| data.code == 354);
        let lost = answers.broken.is_some_and(|failed| failed.error.ends_connection());
        let reusable = !in_data && !lost && reply.code != 421 && self.reset().await;
        Delivery { report: SendReport { outcome, recipients }, reusable, stale }
    }

    async fn reset(&mut self) -> bool {
        self.command(Stage::Mail, "RSET\r\n").await.is_ok_and(|reply| reply.is_positive())
    }

    async fn content(
        &mut self,
        message: &Message,
        answers: Answers,
        recipients: Vec<RecipientResult>,
    ) -> Delivery {
        let lost = |outcome, recipients| Delivery {
            report: SendReport { outcome, recipients },
            reusable: false,
            stale: false,
        };
        if let Some(failed) = answers.broken {
            return lost(failed.into_outcome(), recipients);
        }
        let data = match answers.data {
            Some(reply) => Ok(reply),
            None => self.command(Stage::Data, "DATA\r\n").await,
        };
        let data = match data {
            Ok(reply) => reply,
            Err(failed) => return lost(failed.into_outcome(), recipients),
        };
        if data.code != 354 {
            let reusable = data.code >= 400 && data.code != 421 && self.reset().await;
            let report = SendReport { outcome: answer_to_outcome(Stage::Data, &data), recipients };
            return Delivery { report, reusable, stale: false };
        }
        if let Err(failed) = self.body(message).await {
            return lost(failed.into_outcome(), recipients);
        }
        match self.stream.read_reply(self.final_timeout).await {
            Err(error) => lost(error.into_outcome(Stage::Final), recipients),
            Ok(reply) => {
                let outcome = final_outcome(&reply, message, &answers.rcpt);
                let reusable = reply.code != 421 && !matches!(outcome, Outcome::Ambiguous { .. });
                Delivery { report: SendReport { outcome, recipients }, reusable, stale: false }
            }
        }
    }

    /// Everything up to and including the final dot. An error means that the dot did not leave.
    async fn body(&mut self, message: &Message) -> Result<(), Failed> {
        for (chunk, _) in Dots::new(message.bytes()) {
            if let Err(error) = self.stream.write(&chunk, self.command_timeout).await {
                let error = match self.stream.read_reply(LAST_WORDS).await {
                    Ok(reply) if reply.code >= 400 => WireError::Refused(reply),
                    _ => error,
                };
                return Err(Failed { stage: Stage::Data, error });
            }
        }
        Ok(())
    }
}

impl Answers {
    /// Files one answer after MAIL's; true when no more will come.
    fn add(&mut self, stage: Stage, reply: Result<Reply, Failed>, pipelining: bool) -> bool {
        let reply = match reply {
            Ok(reply) => reply,
            Err(failed) => {
                self.broken = Some(failed);
                return true;
            }
        };
        let to = stage == Stage::Rcpt && self.rcpt.is_empty();
        let stop = reply.code == 421 || (to && stops(&reply, pipelining));
        match stage {
            Stage::Data => self.data = Some(reply),
            _ => self.rcpt.push(reply),
        }
        stop
    }
}

/// Without pipelining nothing more has been asked, so a refusal is the end; 421 always is.
fn stops(reply: &Reply, pipelining: bool) -> bool {
    reply.code == 421 || (!reply.is_positive() && !pipelining)
}

fn answer_to_outcome(stage: Stage, reply: &Reply) -> Outcome {
    if reply.code >= 400 {
        return classify(stage, reply);
    }
    WireError::Nonsense("the server's answer does not fit the command").into_outcome(stage)
}

fn final_outcome(reply: &Reply, message: &Message, rcpt: &[Reply]) -> Outcome {
    if !reply.is_positive() {
        return answer_to_outcome(Stage::Final, reply);
    }
    let copies = message.envelope().cc.iter().zip(rcpt.iter().skip(1));
    let refused = copies.filter(|(_, reply)| !reply.is_positive());
    let refused_cc = refused.filter_map(|(address, reply)| refused_copy(address.clone(), reply)).collect();
    Outcome::Sent { reply: crate::masking::mask_text(&reply.text()), refused_cc }
}

fn refused_copy(address: crate::EmailAddress, reply: &Reply) -> Option<RefusedCopy> {
    let outcome = answer_to_outcome(Stage::Rcpt, reply);
    let suppress = matches!(outcome, Outcome::Permanent { suppress: true, .. });
    let failure = outcome.failure()?.clone();
    Some(RefusedCopy { address, suppress, failure })
}

fn recipient_results(message: &Message, rcpt: &[Reply]) -> Vec<RecipientResult> {
    let failure = |reply: &Reply| match reply.is_positive() {
        true => None,
        false => answer_to_outcome(Stage::Rcpt, reply).failure().cloned(),
    };
    let pairs = message.recipients().zip(rcpt);
    pairs
        .map(|(address, reply)| RecipientResult { address: address.clone(), refused: failure(reply) })
        .collect()
}

fn cut_at_rcpt() -> Outcome {
    let failure = Failure::new(Stage::Rcpt, Class::Network, "the connection ended before RCPT was answered");
    Outcome::Retry { after: None, throttled: false, failure }
}
