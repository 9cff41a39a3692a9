//! Listeners on real sockets, and how they leave.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use super::{World, answered, said};
use crate::{http::Limited, testing::User};

const LIMIT: Duration = Duration::from_secs(30);

/// Cuts whoever takes nothing for half a second.
struct Impatient(TcpListener);

impl axum::serve::Listener for Impatient {
    type Io = Limited<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (stream, addr) = axum::serve::Listener::accept(&mut self.0).await;
        (Limited::new(stream).stalled_after(Duration::from_millis(500)), addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The routes on a socket.
async fn serve(router: Router) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = Impatient(listener);
    let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (addr, AbortOnDropHandle::new(served))
}

/// A connection that has asked for a stream, with little room for what it does not read.
async fn ask(addr: SocketAddr, user: &User, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(addr).await.unwrap();
    let token = user.token.expose();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_cut_off_and_nobody_else_notices() {
    let world = World::new().await;
    let call = world.ring().await;
    world.write(call, answered()).await;
    // More than all buffers between here and there take: some forty megabytes.
    let owner = world.api.scratch.superuser().await;
    sqlx::query(
        "insert into conversation_events (tenant_id, conversation_id, seq, at_ms, kind, data)
         select $1, $2, n, n, 'tool_finished', jsonb_build_object('outcome', repeat('x', 20000)) from generate_series(0, 1999) n",
    )
    .bind(world.user.tenant.as_uuid())
    .bind(call.as_uuid())
    .execute(owner.pool())
    .await
    .unwrap();
    let (addr, _served) = serve(world.api.router()).await;
    let path = format!("/v1/conversations/{call}/live");
    let mut stalled = ask(addr, &world.user, &path).await;
    let mut head = [0; 12];
    stalled.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    until("it has a place", || world.api.control.live.streams() == 1).await;
    let mut other = world.api.listen(&world.user, &path, Some("1999.2")).await;
    until("it is cut off", || world.api.control.live.streams() == 1).await;
    world.write(call, said(2000, 0, "agent", "Still here.")).await;
    assert_eq!(other.next().await.unwrap().data["text"], "Still here.");
    // The peer learns of it: what was on its way ends before the stream does.
    let mut rest = Vec::new();
    let end = tokio::time::timeout(LIMIT, stalled.read_to_end(&mut rest)).await.unwrap();
    assert!(end.is_err() || !rest.ends_with(b"0\r\n\r\n"));
    assert!(rest.len() < 40_000_000, "{}", rest.len());
}

#[tokio::test]
async fn a_listener_who_hangs_up_leaves_at_once() {
    let world = World::new().await;
    let (addr, _served) = serve(world.api.router()).await;
    let mut listening = ask(addr, &world.user, "/v1/live").await;
    let mut head = [0; 12];
    listening.read_exact(&mut head).await.unwrap();
    until("it has a place", || world.api.control.live.streams() == 1).await;
    drop(listening);
    until("its place is free", || world.api.control.live.streams() == 0).await;
}
