//! The vendor spells its keys in several ways, sometimes sends no alignment, and always must be understood.

use std::time::Duration;

use trunkline_sim::{
    elevenlabs::{AlignmentKeys, AlignmentMode, ContextKey, KeyStyle},
    fault::Fault,
};

use super::support::{ONE, Rig, said, vendor};

const TEXT: &str = "Spell it as you like. ";

#[tokio::test]
async fn whichever_keys_it_uses() {
    for context in [ContextKey::Camel, ContextKey::Snake, ContextKey::Both] {
        for alignment in [AlignmentKeys::Documented, AlignmentKeys::Singular, AlignmentKeys::Plural] {
            let mut vendor = vendor([]);
            vendor.key_style = KeyStyle { context, alignment };
            let mut rig = Rig::new(vendor).await;
            rig.speak(ONE, TEXT).await;
            rig.finish(ONE).await;
            rig.until_done(ONE).await;
            assert_eq!((rig.heard(ONE), rig.spelled(ONE)), (said(TEXT), TEXT.to_owned()), "{context:?} {alignment:?}");
        }
    }
}

#[tokio::test]
async fn and_without_alignment() {
    let mut vendor = vendor([None]);
    vendor.alignment = AlignmentMode::Null;
    let mut rig = Rig::new(vendor).await;
    rig.speak(ONE, TEXT).await;
    rig.until(|event| matches!(event, trunkline_media::tts::TtsEvent::Audio { .. })).await;
    rig.finish(ONE).await;
    rig.until_done(ONE).await;
    assert_eq!((rig.heard(ONE), rig.spelled(ONE)), (said(TEXT), String::new()));
}

#[tokio::test]
async fn a_loss_without_alignment_skips_no_word() {
    let mut vendor = vendor([Some(Fault::DropAfter(Duration::from_millis(900)))]);
    vendor.alignment = AlignmentMode::Null;
    let mut rig = Rig::new(vendor).await;
    let text = "One two three four five six seven eight nine ten. ";
    rig.speak(ONE, text).await;
    rig.finish(ONE).await;
    rig.until_done(ONE).await;
    let heard = rig.heard(ONE);
    let mut rest = heard.as_str();
    for word in text.to_lowercase().split_whitespace() {
        let at = rest.find(word).unwrap_or_else(|| panic!("{word:?} is missing in {heard:?}"));
        rest = &rest[at + word.len()..];
    }
    assert!(heard.len() < text.len() * 2, "{heard:?}");
}
