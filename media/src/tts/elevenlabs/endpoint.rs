//! The vendor's URLs, and the request that opens a socket.

use tokio_tungstenite::tungstenite::{
    client::IntoClientRequest as _,
    handshake::client::Request,
    http::{HeaderName, HeaderValue},
};
use trunkline_base::Secret;
use url::Url;

use crate::{
    audio::{AudioFormat, Encoding, SampleRate},
    tts::TtsConfig,
};

/// Which of the vendor's sockets is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// `multi-stream-input`: one socket a call, a context a reply.
    Multi,
    /// `stream-input`: one socket a reply.
    Single,
}

impl Mode {
    /// How many contexts a socket may have, those included that are closing: the vendor's limit for `multi-stream-input`; the one
    /// stream of the other.
    pub(super) const fn contexts(self) -> usize {
        match self {
            Self::Multi => 5,
            Self::Single => 1,
        }
    }

    /// The last segment of its path.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Multi => "multi-stream-input",
            Self::Single => "stream-input",
        }
    }
}

/// Why a session can't even try to connect. Nothing of it is secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum EndpointError {
    #[error("the voice's address is not an http, https, ws or wss URL")]
    Address,
    #[error("the voice can't speak {0:?}")]
    Format(AudioFormat),
    #[error("the voice's key can't be sent in a header")]
    Key,
}

/// Seconds without a message after which the vendor closes: the most that it allows.
const INACTIVITY_TIMEOUT: &str = "180";

/// The handshake of a socket. The key is in a header marked as sensitive and nowhere else.
pub(super) fn request(config: &TtsConfig, mode: Mode) -> Result<Request, EndpointError> {
    let url = url(config, mode)?;
    let mut request = url.as_str().into_client_request().map_err(|_| EndpointError::Address)?;
    request.headers_mut().insert(HeaderName::from_static("xi-api-key"), key(&config.api_key)?);
    Ok(request)
}

fn key(secret: &Secret) -> Result<HeaderValue, EndpointError> {
    let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| EndpointError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

fn url(config: &TtsConfig, mode: Mode) -> Result<Url, EndpointError> {
    let output_format = output_format(config.format)?;
    let mut url = Url::parse(&config.base_url).map_err(|_| EndpointError::Address)?;
    let scheme = match url.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(EndpointError::Address),
    };
    url.set_scheme(scheme).map_err(|()| EndpointError::Address)?;
    url.path_segments_mut().map_err(|()| EndpointError::Address)?.pop_if_empty().extend([
        "v1",
        "text-to-speech",
        &config.voice_id,
        mode.path(),
    ]);
    let mut query = url.query_pairs_mut();
    query
        .append_pair("model_id", &config.model)
        .append_pair("output_format", output_format)
        .append_pair("auto_mode", "true")
        .append_pair("sync_alignment", "true")
        .append_pair("inactivity_timeout", INACTIVITY_TIMEOUT);
    // The multilingual models find the language themselves and take no code for it.
    if let Some(language) = config.language.as_deref().filter(|_| !config.model.starts_with("eleven_multilingual")) {
        query.append_pair("language_code", language);
    }
    drop(query);
    Ok(url)
}

fn output_format(format: AudioFormat) -> Result<&'static str, EndpointError> {
    match (format.encoding, format.rate) {
        (Encoding::Mulaw, SampleRate::HZ_8000) => Ok("ulaw_8000"),
        (Encoding::Linear16, SampleRate::HZ_8000) => Ok("pcm_8000"),
        (Encoding::Linear16, SampleRate::HZ_16000) => Ok("pcm_16000"),
        (Encoding::Linear16, SampleRate::HZ_24000) => Ok("pcm_24000"),
        _ => Err(EndpointError::Format(format)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::BaseUrl,
        tts::{TtsLimits, VoiceSettings},
    };

    fn config() -> TtsConfig {
        TtsConfig {
            base_url: BaseUrl::operator("https://api.elevenlabs.io"),
            api_key: Secret::new("sk_secret"),
            voice_id: "21m/00?T".into(),
            model: "eleven_flash_v2_5".into(),
            language: Some("de".into()),
            settings: VoiceSettings::default(),
            format: AudioFormat::MULAW_8K,
            tag: "call".into(),
            limits: TtsLimits::default(),
        }
    }

    #[test]
    fn the_url_says_what_the_call_needs() {
        assert_eq!(
            url(&config(), Mode::Multi).unwrap().as_str(),
            "wss://api.elevenlabs.io/v1/text-to-speech/21m%2F00%3FT/multi-stream-input?model_id=eleven_flash_v2_5\
             &output_format=ulaw_8000&auto_mode=true&sync_alignment=true&inactivity_timeout=180&language_code=de"
        );
    }

    #[test]
    fn a_proxy_s_own_path_stays() {
        let config = TtsConfig { base_url: BaseUrl::operator("http://127.0.0.1:9/eleven/"), ..config() };
        let url = url(&config, Mode::Single).unwrap();
        assert!(url.as_str().starts_with("ws://127.0.0.1:9/eleven/v1/text-to-speech/"), "{url}");
        assert!(url.path().ends_with("/stream-input"), "{url}");
    }

    #[test]
    fn multilingual_models_take_no_language() {
        let config = TtsConfig { model: "eleven_multilingual_v2".into(), ..config() };
        assert!(!url(&config, Mode::Multi).unwrap().as_str().contains("language_code"));
    }

    #[test]
    fn what_the_vendor_cannot_do_is_refused() {
        let format = AudioFormat { encoding: Encoding::Linear16, rate: SampleRate::HZ_48000 };
        assert_eq!(url(&TtsConfig { format, ..config() }, Mode::Multi), Err(EndpointError::Format(format)));
        for base_url in ["", "ftp://host", "not a url", "data:x"] {
            let config = TtsConfig { base_url: BaseUrl::operator(base_url), ..config() };
            assert_eq!(url(&config, Mode::Multi), Err(EndpointError::Address), "{base_url}");
        }
    }

    #[test]
    fn the_key_is_in_the_header_and_prints_nowhere() {
        let request = request(&config(), Mode::Multi).unwrap();
        assert_eq!(request.headers()["xi-api-key"], "sk_secret");
        assert!(!format!("{request:?} {:?}", config()).contains("sk_secret"));
    }
}
