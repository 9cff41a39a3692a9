//! A request is a span of the trace that it came with, and the collector has it when the server has stopped.

use crate::process::{Peer, Process, exchange};

const TRACE: [u8; 16] = *b"\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c";
const PARENT: [u8; 8] = *b"\xb7\xad\x6b\x71\x69\x20\x33\x31";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_collector_is_sent_a_span_of_the_clients_trace() {
    let mut collector = Peer::start().await;
    let endpoint = format!("http://{}", collector.addr);
    let server = Process::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("LOG_LEVEL", "info")]).await;
    let request = format!(
        "GET /v1/conversations/5550100?ticket=hush HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: find-me\r\n\
         authorization: Bearer hush\r\ntraceparent: 00-{}-{}-01\r\n\r\n",
        hex(&TRACE),
        hex(&PARENT)
    );
    let answer = exchange(server.addr, &request).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    server.terminate();
    let sent = collector.asked().await;
    let head = sent.head();
    assert!(head.starts_with("POST /v1/traces ") && head.contains("application/x-protobuf"), "{head}");
    for there in [TRACE.as_slice(), &PARENT, b"GET /v1/conversations/{conversation_id}", b"trunkline", b"find-me"] {
        assert!(sent.has(there), "{}", String::from_utf8_lossy(there));
    }
    for secret in ["hush", "5550100"] {
        assert!(!sent.has(secret.as_bytes()), "{secret}");
    }
    sent.answer("200 OK", "application/x-protobuf", "").await;
    server.ended().await;
}
