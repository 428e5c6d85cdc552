//! An answer on its way: whose turn it is while it is taken, and what it holds until it was.
//!
//! The trap: HTTP/2 has a window for each answer. A client that never opens it lets the socket run free, so the socket says
//! nothing; and whoever made the body has long handed it over. So each piece that is handed over keeps the answer open until
//! its bytes are written or the stream is gone.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};

use super::{life::Turn, requests::Open};

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    body: Body,
    taking: Arc<Taking>,
}

/// One answer, until the last piece of it is taken.
#[derive(Debug)]
struct Taking {
    state: Mutex<State>,
    /// Its request counts for as long, and its bytes.
    _open: Option<Open>,
}

#[derive(Debug)]
struct State {
    turn: Turn,
    /// Handed over and not taken.
    handed: usize,
    /// There is nothing more at the moment.
    pending: bool,
}

impl Answer {
    /// The client's turn from now on, while there is something to take.
    pub(super) fn new(body: Body, mut turn: Turn, open: Option<Open>) -> Self {
        turn.answered();
        turn.taking(0);
        let state = Mutex::new(State { turn, handed: 0, pending: false });
        Self { body, taking: Arc::new(Taking { state, _open: open }) }
    }
}

impl Taking {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whose turn it is now, and that so much was taken.
    fn took(&mut self, bytes: usize) {
        self.handed = self.handed.saturating_sub(bytes);
        match self.pending && self.handed == 0 {
            true => self.turn.ours(),
            false => self.turn.taking(bytes),
        }
    }
}

impl hyper::body::Body for Answer {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        let mut state = this.taking.state();
        state.pending = frame.is_pending();
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            state.handed += frame.data_ref().map_or(0, Bytes::len);
        }
        state.took(0);
        drop(state);
        let piece = |bytes| Piece { bytes, taking: Arc::clone(&this.taking) };
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.taking.state();
        state.pending = false;
        state.took(0);
    }
}

/// A piece of an answer, until it is written.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    taking: Arc<Taking>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.taking.state().took(bytes);
    }

    fn copy_to_bytes(&mut self, bytes: usize) -> Bytes {
        let copy = self.bytes.copy_to_bytes(bytes);
        self.taking.state().took(bytes);
        copy
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let rest = self.bytes.len();
        if rest > 0 {
            self.taking.state().took(rest);
        }
    }
}
