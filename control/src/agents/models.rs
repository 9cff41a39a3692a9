//! The names of models that vendors have listed. They age: a name that is missing here costs a warning and nothing more, for vendors
//! publish new ones and compatible servers have names of their own.

use super::{
    config::{AgentConfig, AiProvider, SpeechProvider, VoiceProvider},
    model::Warning,
};

/// Chat models of <https://platform.openai.com/docs/models>.
const OPENAI: &[&str] = &[
    "chatgpt-4o-latest",
    "gpt-3.5-turbo",
    "gpt-4",
    "gpt-4-turbo",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-5",
    "gpt-5-chat-latest",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-5.1",
    "gpt-5.1-chat-latest",
    "gpt-5.2",
    "gpt-5.2-chat-latest",
    "o1",
    "o3",
    "o3-mini",
    "o4-mini",
];

/// Models of <https://docs.claude.com/en/docs/about-claude/models/overview>.
const CLAUDE: &[&str] = &[
    "claude-3-5-haiku-latest",
    "claude-3-7-sonnet-latest",
    "claude-3-haiku",
    "claude-haiku-4-5",
    "claude-opus-4",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-5",
    "claude-sonnet-4",
    "claude-sonnet-4-0",
    "claude-sonnet-4-5",
];

/// Models of <https://elevenlabs.io/docs/models>.
const ELEVENLABS: &[&str] = &[
    "eleven_flash_v2",
    "eleven_flash_v2_5",
    "eleven_multilingual_v2",
    "eleven_turbo_v2",
    "eleven_turbo_v2_5",
    "eleven_v3",
    "eleven_v3_conversational",
    "eleven_v4",
    "eleven_v4_turbo",
];

/// Streaming models of <https://developers.deepgram.com/docs/models-languages-overview>.
const DEEPGRAM: &[&str] = &[
    "flux-general-en",
    "flux-general-multi",
    "nova-2",
    "nova-2-general",
    "nova-2-phonecall",
    "nova-3",
    "nova-3-general",
    "nova-3-medical",
];

/// A warning for every model that its vendor's list lacks.
pub(super) fn warnings(config: &AgentConfig) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut check = |field: String, vendor: &str, known: &[&str], model: &str| {
        if !known.contains(&without_date(model)) {
            let message = format!("is not a model that {vendor} is known to have; a compatible server may have it");
            found.push(Warning { field, message });
        }
    };
    let voice = &config.voice_config;
    let ai = &config.ai_config;
    let speech = &config.speech_config;
    let (vendor, known) = voices(voice.provider);
    check("voice_config.model".into(), vendor, known, &voice.model);
    for (n, fallback) in voice.fallbacks.iter().enumerate() {
        let (vendor, known) = voices(fallback.provider);
        check(format!("voice_config.fallbacks[{n}].model"), vendor, known, &fallback.model);
    }
    let (vendor, known) = minds(ai.provider);
    check("ai_config.model".into(), vendor, known, &ai.model);
    for (n, fallback) in ai.fallbacks.iter().enumerate() {
        let (vendor, known) = minds(fallback.provider);
        check(format!("ai_config.fallbacks[{n}].model"), vendor, known, &fallback.model);
    }
    let (vendor, known) = ears(speech.provider);
    check("speech_config.model".into(), vendor, known, &speech.model);
    for (n, fallback) in speech.fallbacks.iter().enumerate() {
        let (vendor, known) = ears(fallback.provider);
        check(format!("speech_config.fallbacks[{n}].model"), vendor, known, &fallback.model);
    }
    found
}

type Known = (&'static str, &'static [&'static str]);

const fn minds(provider: AiProvider) -> Known {
    match provider {
        AiProvider::Openai => ("OpenAI", OPENAI),
        AiProvider::Claude => ("Anthropic", CLAUDE),
    }
}

const fn voices(provider: VoiceProvider) -> Known {
    match provider {
        VoiceProvider::Elevenlabs => ("ElevenLabs", ELEVENLABS),
    }
}

const fn ears(provider: SpeechProvider) -> Known {
    match provider {
        SpeechProvider::Deepgram => ("Deepgram", DEEPGRAM),
    }
}

/// Without the day of a snapshot: `gpt-4o-2024-08-06`, `claude-haiku-4-5-20251001`.
fn without_date(model: &str) -> &str {
    for shape in ["-dddd-dd-dd", "-dddddddd"] {
        if let Some(at) = model.len().checked_sub(shape.len())
            && let Some(end) = model.get(at..)
            && end.bytes().zip(shape.bytes()).all(|(is, of)| if of == b'd' { is.is_ascii_digit() } else { is == of })
        {
            return &model[..at];
        }
    }
    model
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_its_model() {
        assert_eq!(without_date("gpt-4o-2024-08-06"), "gpt-4o");
        assert_eq!(without_date("claude-haiku-4-5-20251001"), "claude-haiku-4-5");
        for model in ["gpt-4", "-", "", "é", "aé-2024-08-0x", "llama-3-8b"] {
            assert_eq!(without_date(model), model);
        }
        assert_eq!(without_date("-20251001"), "");
    }
}
