//! A server that is told to stop answers what it was asked before.

use serde_json::json;

use crate::process::{Peer, Process};

const OPENAI: &str = "01900000-0000-7000-8000-000000000001";

#[tokio::test]
async fn a_request_that_is_under_way_is_answered() {
    let mut vendor = Peer::start().await;
    let base = format!("http://{}/v1", vendor.addr);
    let server = Process::start(&[("OPENAI_BASE_URL", &base)]).await;
    let api = server.api();
    let credential = json!({
        "integration_id": OPENAI, "credential_name": "mind", "credential_type": "api_key", "credentials": { "api_key": "sk-1" },
    });
    let credential = api.post("/v1/integrations/credentials", &credential).await.unwrap();
    let install = json!({ "integration_id": OPENAI, "credential_id": credential["credential_id"] });
    let installing = tokio::spawn(async move { api.post("/v1/integrations/install", &install).await });
    let asked = vendor.asked().await;
    server.terminate();
    // It has heard: it takes no more connections.
    while tokio::net::TcpStream::connect(server.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    asked.answer("200 OK", "application/json", r#"{"object":"list","data":[]}"#).await;
    assert_eq!(installing.await.unwrap().unwrap()["status"], "installed");
    server.ended().await;
}
