//! Connections that are cut when their peer stops reading.
//!
//! A peer that neither reads nor closes would hold its connection, and whatever is being sent to it, for as long as it likes: TCP keeps
//! asking it whether it has room. So what is to be written has a limit. It says nothing of connections on which nothing is to be written.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How long a peer may take nothing of what is sent to it.
const STALLED: Duration = Duration::from_secs(20);

/// A connection whose writes have a limit.
#[derive(Debug)]
pub struct Limited<S> {
    inner: S,
    stalled: Duration,
    /// Since the peer last took something while there was more.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Limited<S> {
    /// Limits what is written to this.
    pub const fn new(inner: S) -> Self {
        Self { inner, stalled: STALLED, waiting: None }
    }

    /// With another limit.
    #[must_use]
    pub fn stalled_after(self, stalled: Duration) -> Self {
        Self { stalled, ..self }
    }

    fn limit<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.stalled)));
        ready!(waiting.as_mut().poll(context));
        metrics::counter!("trunkline_connections_stalled_total").increment(1);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer has stopped reading")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.limit(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.limit(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.limit(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_waited_for_and_one_that_does_not_read_is_not() {
        let (ours, mut theirs) = duplex(10);
        let mut ours = Limited::new(ours);
        let writing = tokio::spawn(async move {
            let written = ours.write_all(&[7; 100]).await;
            (written, Instant::now(), ours)
        });
        let mut read = [0; 10];
        for _ in 0..5 {
            sleep(STALLED - Duration::from_secs(1)).await;
            theirs.read_exact(&mut read).await.unwrap();
        }
        let stopped = Instant::now();
        let (written, cut, ours) = writing.await.unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!((cut - stopped).as_secs(), STALLED.as_secs());
        drop(ours);
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, [7; 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_is_sent_stays() {
        let (ours, mut theirs) = duplex(10);
        let mut ours = Limited::new(ours);
        ours.write_all(&[7; 5]).await.unwrap();
        sleep(STALLED * 10).await;
        ours.write_all(&[7; 5]).await.unwrap();
        let mut read = [0; 10];
        theirs.read_exact(&mut read).await.unwrap();
    }
}
