//! What every probe has in common: an end, whatever is at the address.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use trunkline_base::{Clock, Secret, SystemClock};
use trunkline_media::{
    account::{AccountError, PROBE_LIMIT, Unreachable},
    llm::{anthropic, openai},
    net::{BaseUrl, Http},
    stt::deepgram,
    telephony::{
        twilio::{account as twilio, rest::TwilioAuth},
        vonage::{
            VonageHosts,
            account::{self as vonage, VonageAuth},
        },
    },
    tools::salesforce,
    tts::elevenlabs,
};
use trunkline_sim::{
    keys::RSA_PRIVATE,
    openai::{OpenAiConfig, OpenAiSim},
    server::TlsIdentity,
};

use super::{here, http};

/// All probes, and the list of voices, of one address.
async fn probe_all(http: &Http, url: &str) -> Vec<Result<(), AccountError>> {
    let (base, key) = (BaseUrl::operator(url), Secret::new("key"));
    let auth = TwilioAuth { user: "AC1".into(), password: key.clone() };
    let hosts = VonageHosts::at(base.clone());
    let vonage_auth = VonageAuth {
        api_key: "abc".into(),
        api_secret: key.clone(),
        application_id: "app".into(),
        private_key: Secret::new(RSA_PRIVATE),
    };
    let probes = Box::pin(async {
        tokio::join!(
            openai::account::probe(http, &base, &key, None),
            anthropic::account::probe(http, &base, &key),
            deepgram::account::probe(http, &base, &key),
            elevenlabs::account::probe(http, &base, &key),
            twilio::probe(http, &base, "AC1", &auth),
            vonage::probe(http, &hosts, &vonage_auth, SystemClock.wall(), "j"),
            salesforce::account::probe(http, &base, &key),
            elevenlabs::voices::voices(http, &base, &key),
        )
    })
    .await;
    let (one, two, three, four, five, six, seven, voices) = probes;
    vec![one, two, three, four, five, six, seven, voices.map(|_| ())]
}

/// A server that says this to the first request of each connection, and then nothing for ever.
async fn stalling(says: Arc<[u8]>) -> String {
    let listener = TcpListener::bind(here()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let says = says.clone();
            connections.spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&says).await;
                std::future::pending::<()>().await;
            });
        }
    });
    url
}

#[tokio::test]
async fn a_vendor_that_stalls_is_given_up_in_time() {
    let silent = stalling(Arc::from(*b"")).await;
    let halting = stalling(Arc::from(*b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")).await;
    let begun = SystemClock.now();
    let http = http();
    let outcomes = tokio::join!(probe_all(&http, &silent), probe_all(&http, &halting));
    let took = begun.elapsed();
    for outcome in [outcomes.0, outcomes.1].concat() {
        assert_eq!(outcome, Err(AccountError::Unreachable(Unreachable::Timeout)));
    }
    assert!(took >= PROBE_LIMIT && took < 2 * PROBE_LIMIT, "{took:?}");
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let mut endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_vec();
    endless.resize(6 << 20, b' ');
    let url = stalling(endless.into()).await;
    for outcome in probe_all(&http(), &url).await {
        assert_eq!(outcome, Err(AccountError::NotThatVendor { status: 200 }));
    }
}

#[tokio::test]
async fn nobody_there_is_told_from_somebody_without_trust() {
    let listener = TcpListener::bind(here()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for outcome in probe_all(&http(), &url).await {
        assert_eq!(outcome, Err(AccountError::Unreachable(Unreachable::Connect)));
    }
    let identity = TlsIdentity::generate().unwrap();
    let sim = OpenAiSim::start(here(), OpenAiConfig::default(), Some(&identity)).await.unwrap();
    for outcome in probe_all(&http(), &sim.server().http_url()).await {
        assert_eq!(outcome, Err(AccountError::Unreachable(Unreachable::Tls)));
    }
    for bad in ["", "api.example.com", "ftp://host", "mailto:a@b"] {
        for outcome in probe_all(&http(), bad).await {
            assert_eq!(outcome, Err(AccountError::BaseUrl), "{bad}");
        }
    }
}
