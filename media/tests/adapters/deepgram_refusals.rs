//! A vendor that doesn't want us: what is tried again, what isn't, and what is told.

use std::time::Duration;

use crate::deepgram_support::{
    Call, KEY, config,
    peer::{Fate, Peer},
};
use trunkline_media::stt::{SttConfig, SttEvent, SttLimits, SttPhase};

const INVALID_AUTH: &str = r#"{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials: dg-key-that-nobody-may-see"}"#;

#[tokio::test]
async fn a_wrong_key_fails_at_once_and_is_quoted_nowhere() {
    for (status, header) in [(401, "dg-error: Invalid credentials.\r\n"), (402, ""), (403, ""), (400, "")] {
        let peer = Peer::start(vec![Fate::Refuse(status, header, INVALID_AUTH); 9]).await;
        let mut call = Call::open(config(&peer.url(), "nova-3"));
        call.finish().await;
        assert_eq!(peer.seen().len(), 1, "it is not tried again");
        let [SttEvent::Usage { audio: Duration::ZERO }, SttEvent::Failed { cause }] = &call.events[..] else {
            panic!("{}", call.log())
        };
        assert!(cause.contains(&status.to_string()) && cause.contains("INVALID_AUTH"), "{cause}");
        assert!(!call.log().contains(KEY), "{cause}");
    }
}

#[tokio::test]
async fn it_gives_up_after_the_configured_attempts() {
    let peer = Peer::start(vec![Fate::Refuse(503, "", ""); 20]).await;
    let limits = SttLimits { reconnects: 2, ..SttLimits::default() };
    let mut call = Call::open(SttConfig { limits, ..config(&peer.url(), "flux-general-en") });
    call.finish().await;
    assert_eq!(peer.seen().len(), 3, "the first, and two more");
    let [SttEvent::Fault { phase, recovered: false, .. }, SttEvent::Usage { .. }, SttEvent::Failed { cause }] =
        &call.events[..]
    else {
        panic!("{}", call.log())
    };
    assert_eq!(*phase, SttPhase::Connect);
    assert!(cause.contains("503"), "{cause}");
}

#[tokio::test]
async fn connections_that_only_say_hello_are_no_success() {
    let peer = Peer::start(vec![Fate::Error; 20]).await;
    let limits = SttLimits { reconnects: 2, ..SttLimits::default() };
    let mut call = Call::open(SttConfig { limits, ..config(&peer.url(), "flux-general-en") });
    call.finish().await;
    assert_eq!(peer.seen().len(), 3);
    let Some(SttEvent::Failed { cause }) = call.events.last() else { panic!("{}", call.log()) };
    assert!(cause.contains("INTERNAL_SERVER_ERROR"), "{cause}");
}

#[tokio::test]
async fn a_vendor_that_cannot_be_reached_is_given_up_too() {
    let peer = Peer::start([]).await;
    let url = peer.url();
    drop(peer);
    let limits = SttLimits { reconnects: 1, ..SttLimits::default() };
    let mut call = Call::open(SttConfig { limits, ..config(&url, "nova-3") });
    call.finish().await;
    assert!(matches!(call.events.last(), Some(SttEvent::Failed { .. })), "{}", call.log());
}

#[tokio::test]
async fn a_base_url_that_is_none_fails_at_once() {
    let mut call = Call::open(config("not a url", "nova-3"));
    call.finish().await;
    assert!(matches!(call.events.last(), Some(SttEvent::Failed { cause }) if cause.contains("base URL")));
}

#[tokio::test]
async fn the_key_is_in_nothing_that_prints() {
    let peer = Peer::start([]).await;
    let config = config(&peer.url(), "nova-3");
    assert!(!format!("{config:?} {config:#?}").contains(KEY));
    let call = Call::open(config);
    peer.until(|seen| seen.len() == 1 && !seen[0].path.is_empty()).await;
    assert!(!format!("{:?}", call.session).contains(KEY));
    assert!(!peer.seen()[0].path.contains(KEY), "a URL is logged by every proxy");
}
