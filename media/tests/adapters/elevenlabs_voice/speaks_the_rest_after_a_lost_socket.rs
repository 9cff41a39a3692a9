//! A socket lost in the middle of a reply costs no word and repeats none: the text whose audio had not arrived is sent again.

use std::time::Duration;

use trunkline_media::audio::{AudioFormat, Encoding, SampleRate};
use trunkline_sim::fault::Fault;

use super::support::{ONE, Rig, said, vendor};

const TEXT: [&str; 3] =
    ["Your appointment is on Tuesday, ", "the fourteenth of March, at half past nine. ", "Please bring your papers. "];

async fn speak(mut rig: Rig) -> Rig {
    for clause in TEXT {
        rig.speak(ONE, clause).await;
    }
    rig.finish(ONE).await;
    rig.until_done(ONE).await;
    assert_eq!(rig.heard(ONE), said(&TEXT.concat()));
    assert_eq!(rig.spelled(ONE), TEXT.concat());
    rig
}

#[tokio::test]
async fn a_connection_that_is_cut() {
    for ms in [700, 1_150, 2_350] {
        let rig = speak(Rig::new(vendor([Some(Fault::DropAfter(Duration::from_millis(ms)))])).await).await;
        let mended: Vec<_> = rig.faults().iter().map(|(phase, _, mended)| (*phase, *mended)).collect();
        assert_eq!(mended, [("stream", false), ("stream", true)], "cut after {ms} ms");
        let (first, rest): (Vec<_>, Vec<_>) = rig.texts().into_iter().partition(|(context, _)| context == "call-1-1");
        assert!(!first.is_empty());
        let rest: String = rest.into_iter().map(|(_, text)| text).collect();
        assert!(
            !rest.is_empty() && TEXT.concat().ends_with(&rest) && rest.len() < TEXT.concat().len(),
            "sent again: {rest}"
        );
    }
}

#[tokio::test]
async fn two_cuts_in_sixteen_bit_audio_with_odd_chunks() {
    let cut = |ms| Some(Fault::DropAfter(Duration::from_millis(ms)));
    let mut vendor = vendor([cut(900), cut(1_300)]);
    vendor.odd_fragments = true;
    let format = AudioFormat { encoding: Encoding::Linear16, rate: SampleRate::HZ_16000 };
    let rig = speak(Rig::with(vendor, |config| config.format = format).await).await;
    assert!(rig.pieces(ONE).all(|(audio, _)| audio.len() % 2 == 0));
    assert_eq!(rig.faults().len(), 4);
}

#[tokio::test]
async fn an_error_of_the_vendor_s_that_passes() {
    let fault = Fault::ErrorAfter(Duration::from_millis(800), "internal_server_error".into());
    let rig = speak(Rig::new(vendor([Some(fault)])).await).await;
    assert_eq!(rig.faults()[0], ("stream", "vendor's error: internal_server_error", false));
}

#[tokio::test]
async fn noise_on_the_socket_is_passed_over() {
    let rig = speak(Rig::new(vendor([Some(Fault::GarbageAfter(Duration::from_millis(800)))])).await).await;
    assert_eq!(rig.faults(), []);
}
