//! A connection is opened ahead, kept from turn to turn, and closed when the answer is not wanted; nothing of it is printed.

use std::time::Duration;

use crate::responder::{Answer, Piece, Responder, chat::*};
use serde_json::json;
use trunkline_base::Secret;
use trunkline_media::{
    llm::{
        Llm, LlmEvent, LlmLimits,
        openai::{OpenAi, OpenAiConfig, OpenAiConfigError, OpenAiModel},
    },
    net::{BaseUrl, Net},
};

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let answers = || [Answer::Stream(vec![text("The answer is long "), Piece::Hang]), Answer::Hang];
    let mut server = Responder::start(answers()).await;
    let llm = llm(vec![model(&server)], limits());
    let mut stream = start(&llm);
    assert_eq!(next(&mut stream).await, Some(said("The answer is long ")));
    drop(stream);
    server.closed(1).await;
    // Before the first token, too.
    let stream = start(&llm);
    server.asked(2).await;
    drop(stream);
    server.closed(2).await;
}

/// A connection reaches the pool a moment after its answer was read, which nobody can see from outside: so each of these is tried until
/// it is seen, and fails if it never is.
const TRIES: usize = 20;

#[tokio::test]
async fn the_first_turn_finds_a_connection_that_was_opened_ahead() {
    for _ in 0..TRIES {
        let models = json!({"object": "list", "data": [{"id": "m", "object": "model"}]}).to_string();
        let server = Responder::start([Answer::status(200, models), answer("One.")]).await;
        // Two models at one place need one connection.
        let llm = llm(vec![model(&server), model(&server)], limits());
        llm.warm();
        server.asked(1).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(heard(start(&llm)).await[0], said("One."));
        let seen = server.seen();
        assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("GET", "/v1/models"));
        if seen[1].connection == 0 {
            return;
        }
    }
    panic!("the connection is never used");
}

#[tokio::test]
async fn the_next_turn_uses_the_same_connection_though_the_answer_ends_late() {
    let ends_late = || {
        let late = [Piece::Wait(Duration::from_millis(30)), Piece::Data(": bye\n\n".into())];
        Answer::Stream([text("One."), finish("stop"), done()].into_iter().chain(late).collect())
    };
    let server = Responder::start((0..TRIES).map(|_| ends_late())).await;
    let llm = llm(vec![model(&server)], limits());
    for turn in 0..TRIES {
        assert_eq!(heard(start(&llm)).await, [said("One."), LlmEvent::Done]);
        if server.seen()[turn].connection < turn {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("every turn opens a connection of its own");
}

#[tokio::test]
async fn neither_keys_nor_words_are_printed() {
    let server = Responder::start([refused(401, "invalid_api_key")]).await;
    let llm = llm(vec![model(&server)], limits());
    let stream = start(&llm);
    let printed = format!("{llm:?} {stream:?}");
    let events = heard(stream).await;
    let printed = format!("{printed} {events:?}");
    assert!(!printed.contains(KEY) && !printed.contains("1415") && !printed.contains("private"), "{printed}");
    let text = format!("{:?}", said("private words"));
    assert!(!text.contains("private"), "{text}");
}

#[test]
fn what_could_not_be_sent_is_refused_at_once() {
    let net = Net::new(&[]).unwrap();
    let config = |base_url: &str, key: &str, tag: &str| OpenAiConfig {
        models: vec![OpenAiModel::new(BaseUrl::operator(base_url), Secret::new(key), "m")],
        limits: LlmLimits::default(),
        tag: tag.into(),
    };
    let error = |config| OpenAi::new(config, &net).err();
    assert_eq!(error(config("https://api.openai.com/v1", KEY, "call")), None);
    assert_eq!(error(config("http://localhost:1/v1", "", "call")), None, "compatible servers may do without a key");
    for bad in ["", "api.openai.com/v1", "ftp://h/v1", "https://user:pass@h/v1", "https://h/v1?key=x", "https://h/#a"] {
        assert_eq!(error(config(bad, KEY, "call")), Some(OpenAiConfigError::BaseUrl(0)), "{bad}");
    }
    assert_eq!(error(config("http://h/v1", "a\nb", "call")), Some(OpenAiConfigError::Key(0)));
    assert_eq!(error(config("http://h/v1", KEY, "a\nb")), Some(OpenAiConfigError::Tag));
    let empty = OpenAiConfig { models: vec![], ..config("http://h/v1", KEY, "call") };
    assert_eq!(error(empty), Some(OpenAiConfigError::NoModel));
}
