//! What comes over a socket is bounded, and what operators ask is answered.

use trunkline_control::testing::RedisServer;

use crate::process::{LIMIT, Peer, Process, exchange};

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_figures_are_there() {
    let server = Process::start(&[("RATE_LIMIT_PER_MINUTE", "3")]).await;
    let status = async |request: String| {
        let answer = exchange(server.addr, &request).await;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        (status.unwrap_or_else(|| panic!("{answer}")), answer)
    };
    let (code, answer) = status(get("/v1/voice-agents", &format!("x-large: {}\r\n", "x".repeat(20 * 1024)))).await;
    assert!(code == 431 && answer.contains("VALIDATION_ERROR"), "{answer}");
    let (code, answer) = status(get(&format!("/v1/voice-agents?q={}", "x".repeat(9 * 1024)), "")).await;
    assert!(code == 414 && answer.contains("VALIDATION_ERROR"), "{answer}");
    // What is larger still, the connection refuses before anybody looks at it.
    assert_eq!(status(get("/v1/voice-agents", &format!("x-large: {}\r\n", "x".repeat(100 * 1024)))).await.0, 431);
    assert_eq!(status(get("/v1/voice-agents", &"x: y\r\n".repeat(150))).await.0, 431);
    assert_eq!(status("nonsense\r\n\r\n".to_owned()).await.0, 400);

    let api = server.api();
    for _ in 0..3 {
        api.get("/v1/voice-agents").await.unwrap();
    }
    let over = api.get("/v1/voice-agents").await.unwrap_err().to_string();
    assert!(over.contains("429") && over.contains("RATE_LIMITED"), "{over}");
    // 60 a minute an address, and one more each second that this takes.
    let mut tries = 0;
    while status(get("/v1/voice-agents", "")).await.0 != 429 {
        tries += 1;
        assert!(tries < 1000, "nobody is refused");
    }
    assert!(tries >= 60, "{tries}");
    let (code, figures) = status(get("/metrics", "")).await;
    assert_eq!(code, 200);
    for line in [
        r#"api_requests_total{method="GET",endpoint="/v1/voice-agents",status="200"} 3"#,
        "request_duration_seconds_bucket",
        "request_duration_seconds_count",
        r#"trunkline_rate_limited_total{scope="tenant"} 1"#,
        r#"trunkline_rate_limited_total{scope="address"}"#,
        r#"trunkline_db_connections{state="idle"}"#,
        "trunkline_tasks_alive",
    ] {
        assert!(figures.contains(line), "{line} is not in {figures}");
    }
}

#[tokio::test]
async fn health_asks_the_redis_and_the_project_that_are_named() {
    let redis = RedisServer::start().await;
    let mut supabase = Peer::start().await;
    let project = format!("http://{}", supabase.addr);
    let settings = [("REDIS_URL", redis.url().expose()), ("SUPABASE_URL", &project), ("SUPABASE_SERVICE_KEY", "hush")]
        .map(|(name, value)| (name, value.to_owned()));
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let server = Process::start(&settings).await;
    let connected = redis.open().await;
    assert!(connected.ping(LIMIT).await);
    for (project_says, expected) in [("200 OK", "200"), ("503 Service Unavailable", "503")] {
        let health = tokio::spawn(exchange_owned(server.addr, get("/health", "")));
        let asked = supabase.asked().await;
        let head = asked.head();
        assert!(head.starts_with("GET /auth/v1/health ") && head.contains("apikey: hush"), "{head}");
        asked.answer(project_says, "application/json", r#"{"name":"GoTrue"}"#).await;
        let answer = health.await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(expected), "{answer}");
        assert!(answer.contains(r#""database":true"#) && answer.contains(r#""redis":true"#), "{answer}");
    }
}

async fn exchange_owned(addr: std::net::SocketAddr, request: String) -> String {
    exchange(addr, &request).await
}
