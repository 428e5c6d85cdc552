//! Which deliveries of a channel are settled, and which frames say so to the server. Pure: no channel, no clock.
//!
//! A `multiple` ack covers everything below it: it never names a tag with an open one below, and what goes back is
//! passed over only after it was written.

use std::{collections::VecDeque, time::Duration};

use backshift_core::BrokerError;
use tokio::{sync::oneshot, time::Instant};

/// How long an ack waits for others, so that one frame settles many; not at all when nothing else is out.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// Tells one settlement that the server has it.
pub(crate) type Answer = oneshot::Sender<Result<(), BrokerError>>;

/// What is to be written now.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The highest tag below which everything is settled, and whether the frame covers more than it.
    pub(crate) upto: Option<(u64, bool)>,
    pub(crate) singles: Vec<u64>,
    pub(crate) back: Vec<u64>,
    /// Due when the server has the frames.
    pub(crate) answers: Vec<Answer>,
}

impl Frames {
    pub(crate) fn is_empty(&self) -> bool {
        self.upto.is_none() && self.singles.is_empty() && self.back.is_empty()
    }
}

/// What is known of a delivery above the watermark.
#[derive(Debug, Default)]
enum Tag {
    /// Out, or not yet delivered.
    #[default]
    Open,
    /// Settled by us, not yet written.
    Waiting(Instant, Option<Answer>),
    /// Settled at the server already: naming such a tag again would end the channel.
    Written,
}

/// Which tags are settled. Tags count 1, 2, 3 … on a channel.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    /// Everything up to here is settled at the server.
    below: u64,
    /// The tags after it, in order.
    tags: VecDeque<Tag>,
    pub(crate) waiting: usize,
    /// Of those that wait, the ones that no flush has looked at.
    pub(crate) fresh: usize,
    /// Of the tags after it, those that are settled at the server.
    written: usize,
    /// Since when the oldest one waits.
    pub(crate) since: Option<Instant>,
}

impl Watermark {
    pub(crate) fn settled(&mut self, tag: u64, now: Instant, answer: Option<Answer>) {
        if self.put(tag, Tag::Waiting(now, answer)) {
            self.waiting += 1;
            self.fresh += 1;
            self.since.get_or_insert(now);
        }
    }

    /// False for a tag below the watermark, which nobody can hold any more.
    fn put(&mut self, tag: u64, state: Tag) -> bool {
        let place = tag.checked_sub(self.below + 1).and_then(|place| usize::try_from(place).ok());
        let Some(place) = place else { return false };
        if self.tags.len() <= place {
            self.tags.resize_with(place + 1, Tag::default);
        }
        self.tags[place] = state;
        true
    }

    /// Whether something waits, and nothing else is out.
    pub(crate) fn is_last(&self, delivered: u64) -> bool {
        self.waiting > 0 && self.below + (self.waiting + self.written) as u64 >= delivered
    }

    /// Decides what to write and takes it; `many` = so many stragglers are too many to wait for.
    pub(crate) fn frames(&mut self, back: &mut Vec<u64>, now: Instant, many: usize) -> Frames {
        let mut frames = Frames::default();
        let mut covered = 0;
        while let Some(Tag::Waiting(..) | Tag::Written) = self.tags.front() {
            self.below += 1;
            match self.tags.pop_front() {
                Some(Tag::Waiting(_, answer)) => {
                    covered += 1;
                    self.waiting -= 1;
                    frames.upto = Some((self.below, covered > 1));
                    frames.answers.extend(answer);
                }
                _ => self.written -= 1,
            }
        }
        // Only now: they are written behind the ack above, which must not cover them.
        for tag in back.drain(..) {
            if self.put(tag, Tag::Written) {
                self.written += 1;
                frames.back.push(tag);
            }
        }
        (self.fresh, self.since) = (0, None);
        if self.waiting > 0 {
            self.stragglers(&mut frames, now, many);
        }
        frames
    }

    fn stragglers(&mut self, frames: &mut Frames, now: Instant, many: usize) {
        let all = self.waiting > many;
        for (tag, state) in (self.below + 1..).zip(&mut self.tags) {
            let Tag::Waiting(at, answer) = state else { continue };
            if all || *at + LONGEST_WAIT <= now {
                frames.singles.push(tag);
                frames.answers.extend(answer.take());
                *state = Tag::Written;
            } else {
                self.since = Some(self.since.map_or(*at, |since| since.min(*at)));
            }
        }
        self.waiting -= frames.singles.len();
        self.written += frames.singles.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 8;

    fn frames(watermark: &mut Watermark, tags: &[u64], now: Instant) -> Frames {
        tags.iter().for_each(|tag| watermark.settled(*tag, now, None));
        watermark.frames(&mut Vec::new(), now, MANY)
    }

    #[test]
    fn what_is_contiguous_goes_in_one_frame() {
        let (mut watermark, now) = (Watermark::default(), Instant::now());
        let written = frames(&mut watermark, &[2, 1, 3, 5], now);
        assert_eq!((written.upto, written.singles), (Some((3, true)), vec![]));
        let written = frames(&mut watermark, &[4], now);
        assert_eq!(written.upto, Some((5, true)));
        assert_eq!(frames(&mut watermark, &[6], now).upto, Some((6, false)));
    }

    #[test]
    fn a_gap_is_never_covered_and_stragglers_go_alone_after_a_while() {
        let (mut watermark, now) = (Watermark::default(), Instant::now());
        let written = frames(&mut watermark, &[2, 4], now);
        assert_eq!((written.upto, written.singles), (None, vec![]));
        let written = watermark.frames(&mut Vec::new(), now + LONGEST_WAIT, MANY);
        assert_eq!((written.upto, written.singles), (None, vec![2, 4]));
        assert!(watermark.waiting == 0 && watermark.since.is_none());
        // 1 and 3 arrive: 4 is settled already, so the frame names 3 and not 4.
        assert_eq!(frames(&mut watermark, &[1, 3], now).upto, Some((3, true)));
        assert_eq!(frames(&mut watermark, &[5], now).upto, Some((5, false)));
    }

    #[test]
    fn many_stragglers_do_not_wait() {
        let (mut watermark, now) = (Watermark::default(), Instant::now());
        let tags: Vec<u64> = (2..=10).collect();
        assert_eq!(frames(&mut watermark, &tags, now).singles, tags);
    }

    #[test]
    fn what_went_back_is_passed_over_and_never_acked() {
        let (mut watermark, now) = (Watermark::default(), Instant::now());
        watermark.settled(1, now, None);
        watermark.settled(3, now, None);
        let written = watermark.frames(&mut vec![2], now, MANY);
        assert_eq!((written.upto, written.back), (Some((1, false)), vec![2]));
        assert_eq!(watermark.frames(&mut Vec::new(), now, MANY).upto, Some((3, false)));
    }

    #[test]
    fn the_last_delivery_that_is_out_has_nothing_to_wait_for() {
        let (mut watermark, now) = (Watermark::default(), Instant::now());
        watermark.settled(2, now, None);
        assert!(!watermark.is_last(2), "1 is out");
        watermark.settled(1, now, None);
        assert!(watermark.is_last(2) && !watermark.is_last(3));
        assert_eq!(watermark.frames(&mut Vec::new(), now, MANY).upto, Some((2, true)));
        assert!(!watermark.is_last(2), "nothing waits");
    }
}
