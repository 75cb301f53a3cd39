//! Bodies that misbehave.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::{BodySize, MessageBody},
    rt::time::{Interval, interval},
    web::Bytes,
};

use crate::Kind;

/// An answer with this body, or with what a fault leaves of it.
pub(crate) fn spoilt(
    answer: &mut HttpResponseBuilder,
    mut text: String,
    fault: Option<&Kind>,
) -> HttpResponse {
    match fault {
        Some(Kind::HalfBody) => {
            let mut half = text.len() / 2;
            while !text.is_char_boundary(half) {
                half -= 1;
            }
            text.truncate(half);
            answer.body(text)
        }
        Some(Kind::Dribble { ms }) => answer.body(Dribble::new(text, *ms)),
        _ => answer.body(text),
    }
}

/// A body that fails before its first byte: the connection is closed without an answer.
pub(crate) struct Broken;

impl MessageBody for Broken {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(2)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }
}

/// A body that comes in pieces.
struct Dribble {
    rest: Bytes,
    piece: usize,
    length: u64,
    interval: Interval,
}

/// In how many pieces.
const PIECES: usize = 20;

impl Dribble {
    fn new(text: String, ms: u64) -> Self {
        let length = text.len();
        Self {
            rest: text.into(),
            piece: length.div_ceil(PIECES).max(1),
            length: length as u64,
            interval: interval(Duration::from_millis((ms / PIECES as u64).max(1))),
        }
    }
}

impl MessageBody for Dribble {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if self.interval.poll_tick(context).is_pending() {
            return Poll::Pending;
        }
        let piece = self.piece.min(self.rest.len());
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}
