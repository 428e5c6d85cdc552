//! What happens to each request before and after the routes: is it well-formed, whose is it, is there room for it.
//!
//! A request's body is read here, whole, before the routes see it. So a handler never waits for a client, and a place
//! at work is never held by one.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, StatusCode, Version, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use hyper::body::{Body as _, Incoming};
use tower::ServiceExt as _;

use super::{
    Life, Limits, Requests,
    answer::Answer,
    body::{Unread, whole},
    life::Turn,
    requests::{Guest, Open},
};
use crate::{
    ApiError,
    client::{Client, Network},
    health, host,
};

/// What all connections of one port share.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) requests: Arc<Requests>,
}

/// The service of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Answering {
    pub(crate) house: Arc<House>,
    pub(crate) life: Arc<Life>,
    pub(crate) peer: SocketAddr,
    pub(crate) probes_alone: bool,
}

impl hyper::service::Service<Request<Incoming>> for Answering {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Answer>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let version = request.version();
        let turn = Turn::begin(&self.life, version == Version::HTTP_2);
        let unanswered = Unanswered { most: self.house.limits.resets, turn: Some(turn) };
        let this = self.clone();
        async move { Ok(this.answered(request, unanswered, version).await) }.boxed()
    }
}

impl Answering {
    async fn answered(
        &self,
        request: Request<Incoming>,
        mut unanswered: Unanswered,
        version: Version,
    ) -> Response<Answer> {
        let turn = unanswered.turn.as_mut();
        let (mut response, open) = match self.answer(request, turn).await {
            Ok(answer) => answer,
            Err(refusal) => (refusal.into_response(version), None),
        };
        if self.probes_alone && version < Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let turn =
            unanswered.turn.take().unwrap_or_else(|| Turn::begin(&self.life, version == Version::HTTP_2));
        response.map(|body| Answer::new(body, turn, open))
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        mut turn: Option<&mut Turn>,
    ) -> Result<(Response, Option<Open>), Refusal> {
        let (mut parts, body) = request.into_parts();
        let guest = self.house.requests.come(self.note_client(&mut parts));
        // Of what is refused nothing is kept while it waits for its turn to hear so.
        let admitted = self.admit(&parts, &guest).map(|open| (parts, body, open));
        pass(&guest, turn.as_deref_mut()).await;
        let (parts, body, open) = admitted?;
        let Some(mut open) = open else { return Ok((self.route(parts, Bytes::new()).await, None)) };
        let bytes = self.read(body, turn.as_deref_mut(), &mut open).await?;
        // In the line of its own network it keeps a place and nobody works for it: whoever comes may have that place.
        if let Some(turn) = turn.as_deref_mut() {
            turn.theirs();
        }
        let slot = open.slot().await;
        if let Some(turn) = turn {
            turn.ours();
        }
        let response = self.route(parts, bytes).await;
        drop(slot);
        keep(response, open)
    }

    /// Whether it is well-formed and there is room for it; `None` = it is health, which is answered whoever else is being
    /// worked for: it is cheap and has no body.
    fn admit(&self, parts: &Parts, guest: &Arc<Guest>) -> Result<Option<Open>, Refusal> {
        host::check(parts).map_err(|why| Refusal::closing(StatusCode::BAD_REQUEST, why))?;
        // HTTP/1 has refused it by now.
        if parts.headers.len() > self.house.limits.headers {
            let (status, why) = (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Too many headers");
            return Err(Refusal::closing(status, why));
        }
        let path = parts.uri.path();
        if self.probes_alone && !health::is_probe(path) {
            return Err(Refusal::busy(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many connections: try again soon",
            ));
        }
        if health::is_probe(path) && path != health::METRICS {
            return Ok(None);
        }
        let too_many =
            || Refusal::busy(StatusCode::TOO_MANY_REQUESTS, "Too many requests at once from your network");
        guest.open().map(Some).ok_or_else(too_many)
    }

    async fn route(&self, parts: Parts, body: Bytes) -> Response {
        let Ok(response) =
            self.house.router.clone().oneshot(Request::from_parts(parts, Body::from(body))).await;
        response
    }

    /// Notes who the client is, for the routes and for the limits.
    fn note_client(&self, parts: &mut Parts) -> Network {
        let client = self.house.limits.proxies.client(self.peer.ip(), &parts.headers);
        parts.extensions.insert(Client(client));
        parts.extensions.insert(ConnectInfo(self.peer));
        Network::of(client)
    }

    async fn read(&self, body: Incoming, turn: Option<&mut Turn>, open: &mut Open) -> Result<Bytes, Refusal> {
        let limits = &self.house.limits;
        let Some(turn) = turn else { return Ok(Bytes::new()) };
        turn.theirs();
        let read = whole(body, limits.body_bytes, limits.times.body, open).await;
        turn.ours();
        read.map_err(|unread| match unread {
            Unread::TooLarge => Refusal::closing(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large"),
            Unread::TooSlow => Refusal::closing(StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
            Unread::Cut => Refusal::closing(StatusCode::BAD_REQUEST, "The body ended before its end"),
            Unread::NoRoom => {
                Refusal::busy(StatusCode::SERVICE_UNAVAILABLE, "Too much is being sent: try again soon")
            }
        })
    }
}

/// Waits for the request's turn within its network, and gives way to everybody else once.
async fn pass(guest: &Guest, turn: Option<&mut Turn>) {
    let _gate = match (guest.passes(), turn) {
        (Some(gate), _) => Some(gate),
        (None, None) => guest.pass().await,
        (None, Some(turn)) => {
            turn.theirs();
            let gate = guest.pass().await;
            turn.ours();
            gate
        }
    };
    tokio::task::yield_now().await;
}

/// The request stays open until its answer is taken, whose bytes count instead of those of its body. A stream of changes has
/// no size and holds nothing; how many there are is limited apart.
fn keep(response: Response, mut open: Open) -> Result<(Response, Option<Open>), Refusal> {
    let Some(bytes) = response.body().size_hint().exact() else { return Ok((response, None)) };
    match open.answers(usize::try_from(bytes).unwrap_or_default()) {
        true => Ok((response, Some(open))),
        false => Err(Refusal::busy(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many answers wait to be taken: try again soon",
        )),
    }
}

/// A request without an answer: dropped in this state, the client gave it up.
struct Unanswered {
    most: u32,
    turn: Option<Turn>,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(turn) = &mut self.turn
            && turn.given_up(self.most)
        {
            turn.end_connection("requests are given up again and again");
        }
    }
}

/// A request that never reached the routes.
struct Refusal {
    status: StatusCode,
    why: &'static str,
    busy: bool,
}

impl Refusal {
    /// The rest of this request cannot be read, or not be trusted: the connection ends.
    fn closing(status: StatusCode, why: &'static str) -> Self {
        Self { status, why, busy: false }
    }

    /// There is no room just now.
    fn busy(status: StatusCode, why: &'static str) -> Self {
        Self { status, why, busy: true }
    }

    fn into_response(self, version: Version) -> Response {
        let mut response = ApiError::Status(self.status, self.why).into_response();
        let headers = response.headers_mut();
        if self.busy {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        } else if version < Version::HTTP_2 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        crate::protection::protect(&mut response);
        response
    }
}
