//! What stands between a connection and its bytes: it tells when an answer is sent, and
//! lets a client that was refused in the middle of its words read why.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::places::Seat;

/// How long, and how much of what a client still says is listened to after the last
/// answer. To close while it speaks would be a reset, which may take the answer away.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 1024 * 1024;

/// The bytes of one connection.
pub(super) struct Stream<IO> {
    io: IO,
    seat: Arc<Seat>,
    end: Option<End>,
}

/// All is said; what still comes is dropped.
struct End {
    until: Pin<Box<Sleep>>,
    left: usize,
    heard: bool,
}

impl<IO> Stream<IO> {
    pub(super) fn new(io: IO, seat: Arc<Seat>) -> Self {
        Self { io, seat, end: None }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Stream<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Called when nothing is left that was to be written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.seat.sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.end.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        let end =
            this.end.get_or_insert_with(|| End { until: Box::pin(sleep(LINGER)), left: LINGER_BYTES, heard: false });
        loop {
            let mut bytes = [0; 8192];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && end.left > 0 => {
                    end.heard = true;
                    end.left = end.left.saturating_sub(buffer.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                // Who was not speaking has nothing to be waited for.
                Poll::Pending if !end.heard => return Poll::Ready(Ok(())),
                Poll::Pending => return end.until.as_mut().poll(cx).map(Ok),
            }
        }
    }
}

/// The body of an answer, which tells when it is at its end.
pub(super) struct Answer {
    body: Body,
    _told: Told,
}

impl Answer {
    pub(super) fn new(body: Body, seat: Arc<Seat>) -> Self {
        Self { body, _told: Told(seat) }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Told(Arc<Seat>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.answered();
    }
}
