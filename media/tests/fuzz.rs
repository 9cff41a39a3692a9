//! Whatever a peer sends, the parsers neither panic nor contradict themselves: the fuzz bodies over the committed corpus and seeded
//! mutations of it, on stable. The corpus is the wire messages of `fixtures/wire`.

use std::path::{Path, PathBuf};

use rand::{Rng, SeedableRng, rngs::StdRng};
use trunkline_media::{
    llm::openai,
    stt::deepgram,
    telephony::{twilio, vonage},
    tts::elevenlabs,
};

/// Mutations of each file of the corpus.
const MUTATIONS: usize = 400;

fn corpus(vendor: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire").join(vendor);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the corpus is in the tree")
        .map(|entry| entry.expect("its entries can be read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{vendor} has a corpus");
    files.iter().map(|file| std::fs::read(file).expect("its files can be read")).collect()
}

fn fuzz(vendor: &str, body: fn(&[u8])) {
    let corpus = corpus(vendor);
    let mut rng = StdRng::seed_from_u64(0x7472_756e_6b6c_696e);
    for seed in &corpus {
        body(seed);
        for _ in 0..MUTATIONS {
            body(&mutated(seed, &corpus, &mut rng));
        }
    }
}

/// A few of: a bit flipped, bytes cut, repeated, or taken from another message, a digit made huge, the end lost.
fn mutated(seed: &[u8], corpus: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        if data.is_empty() {
            return data;
        }
        let at = rng.random_range(0..data.len());
        let until = (at + rng.random_range(1..=32)).min(data.len());
        match rng.random_range(0..6) {
            0 => data[at] ^= 1 << rng.random_range(0..8),
            1 => drop(data.drain(at..until)),
            2 => {
                let piece = data[at..until].to_vec();
                data.splice(at..at, piece);
            }
            3 => {
                let other = &corpus[rng.random_range(0..corpus.len())];
                let from = rng.random_range(0..other.len());
                data.splice(at..until, other[from..(from + 48).min(other.len())].iter().copied());
            }
            4 => drop(data.splice(at..at, *b"99999999999999999999")),
            _ => data.truncate(at),
        }
    }
    data
}

#[test]
fn twilios_media_messages() {
    fuzz("twilio", twilio::fuzz::fuzz_decode);
}

#[test]
fn vonages_media_messages_webhooks_and_tokens() {
    fuzz("vonage", |data| {
        vonage::fuzz::fuzz_decode(data);
        vonage::fuzz::fuzz_events(data);
        vonage::fuzz::fuzz_signature(data);
    });
}

#[test]
fn deepgrams_messages() {
    fuzz("deepgram", |message| {
        // A session of either protocol: two seconds of audio, then the message.
        let line: Vec<u8> = message.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
        for family in [0, 1] {
            deepgram::fuzz_messages(&[&[family, b'\n', b'+'], [b'.'; 99].as_slice(), b"\n", &line].concat());
        }
    });
}

#[test]
fn deepgrams_results_of_recordings() {
    fuzz("deepgram", deepgram::fuzz_results);
}

#[test]
fn elevenlabs_messages() {
    fuzz("elevenlabs", elevenlabs::fuzz_messages);
}

#[test]
fn openais_chunks() {
    fuzz("openai", openai::fuzz::fuzz_chunks);
}
