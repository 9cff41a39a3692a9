//! Query parameters of `/v1/listen` and `/v2/listen`, read and checked as the vendor does.

use url::form_urlencoded;

use super::{codec::Format, errors::VendorError};

/// The vendor's limit for all key terms together, in tokens; a word counts as one here.
const MOST_KEYTERM_TOKENS: usize = 500;
const ENCODINGS: [&str; 11] =
    ["linear16", "linear32", "flac", "alaw", "mulaw", "amr-nb", "amr-wb", "opus", "ogg-opus", "speex", "g729"];
const FLUX_PARAMETERS: [&str; 13] = [
    "model",
    "encoding",
    "sample_rate",
    "eot_threshold",
    "eager_eot_threshold",
    "eot_timeout_ms",
    "keyterm",
    "language_hint",
    "numerals",
    "profanity_filter",
    "redact",
    "mip_opt_out",
    "tag",
];

/// Decoded parameters, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

/// What a Nova request asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NovaQuery {
    pub(super) model: String,
    pub(super) format: Format,
    pub(super) channels: usize,
    pub(super) multichannel: bool,
    pub(super) interim_results: bool,
    /// Silence that ends speech, in seconds; `None` when switched off.
    pub(super) endpointing: Option<f64>,
    /// Gap after the last word, in seconds.
    pub(super) utterance_end: Option<f64>,
    pub(super) vad_events: bool,
    pub(super) utterances: bool,
    pub(super) callback: Option<String>,
    pub(super) extra: Vec<String>,
}

/// What a Flux connection asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FluxQuery {
    pub(super) format: Format,
    pub(super) multilingual: bool,
    pub(super) thresholds: Thresholds,
    pub(super) keyterms: Vec<String>,
    pub(super) language_hints: Vec<String>,
}

/// When Flux ends a turn.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(super) struct Thresholds {
    pub(super) eot_threshold: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eager_eot_threshold: Option<f64>,
    pub(super) eot_timeout_ms: u64,
}

impl Parameters {
    pub(super) fn parse(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    fn flag(&self, name: &str) -> Result<bool, VendorError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(invalid(name, other)),
        }
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, VendorError> {
        self.get(name).map(|value| value.parse().map_err(|_| invalid(name, value))).transpose()
    }

    /// The audio's format; `encoding` without `sample_rate` is an error.
    fn format(&self) -> Result<Format, VendorError> {
        let Some(encoding) = self.get("encoding") else { return Ok(Format::Container) };
        if !ENCODINGS.contains(&encoding) {
            return Err(invalid("encoding", encoding));
        }
        let Some(rate) = self.number::<u32>("sample_rate")? else {
            return Err(VendorError::bad_request("sample_rate is required when encoding is specified."));
        };
        Format::raw(encoding, rate).ok_or_else(|| {
            VendorError::bad_request(format!(
                "This simulator can't decode {encoding} at {rate} Hz (raw audio, 8000 to 48000)."
            ))
        })
    }
}

impl NovaQuery {
    pub(super) fn read(parameters: &Parameters) -> Result<Self, VendorError> {
        let model = parameters.get("model").unwrap_or("base-general");
        if !is_listen_model(model) {
            return Err(VendorError::bad_request(format!("No such model/language/tier combination found: {model}.")));
        }
        let nova_3 = model.starts_with("nova-3");
        if nova_3 && parameters.get("keywords").is_some() {
            return Err(VendorError::bad_request("Keywords are not supported for Nova-3. Please use keyterm instead."));
        }
        let keyterms = parameters.all("keyterm");
        if !nova_3 && !keyterms.is_empty() {
            return Err(VendorError::bad_request("Keyterms are only supported for Nova-3."));
        }
        check_keyterms(&keyterms).map_err(VendorError::bad_request)?;
        let channels = parameters.number::<usize>("channels")?.unwrap_or(1);
        if !(1..=8).contains(&channels) {
            return Err(invalid("channels", &channels.to_string()));
        }
        let interim_results = parameters.flag("interim_results")?;
        let utterance_end = parameters.number::<u32>("utterance_end_ms")?.map(|ms| f64::from(ms) / 1e3);
        if utterance_end.is_some() && !interim_results {
            return Err(VendorError::bad_request("utterance_end_ms requires interim_results=true."));
        }
        let endpointing = match parameters.get("endpointing") {
            Some("false") => None,
            None | Some("true") => Some(0.01),
            Some(ms) => Some(f64::from(ms.parse::<u32>().map_err(|_| invalid("endpointing", ms))?) / 1e3),
        };
        for flag in ["smart_format", "punctuate", "numerals", "profanity_filter", "dictation", "mip_opt_out"] {
            parameters.flag(flag)?;
        }
        Ok(Self {
            model: model.to_owned(),
            format: parameters.format()?,
            channels,
            multichannel: parameters.flag("multichannel")?,
            interim_results,
            endpointing,
            utterance_end,
            vad_events: parameters.flag("vad_events")?,
            utterances: parameters.flag("utterances")?,
            callback: parameters.get("callback").map(str::to_owned),
            extra: parameters.all("extra"),
        })
    }
}

impl FluxQuery {
    pub(super) fn read(parameters: &Parameters) -> Result<Self, VendorError> {
        if let Some((name, _)) = parameters.0.iter().find(|(name, _)| !FLUX_PARAMETERS.contains(&name.as_str())) {
            return Err(VendorError::bad_request(format!("Unknown query parameter: {name}.")));
        }
        let multilingual = match parameters.get("model") {
            Some("flux-general-en") => false,
            Some("flux-general-multi") => true,
            Some(model) => {
                return Err(VendorError::bad_request(format!("Model {model} is not available on /v2/listen.")));
            }
            None => return Err(VendorError::bad_request("model is required.")),
        };
        let language_hints = parameters.all("language_hint");
        if !multilingual && !language_hints.is_empty() {
            return Err(VendorError::bad_request("language_hint requires flux-general-multi."));
        }
        let keyterms = parameters.all("keyterm");
        check_keyterms(&keyterms).map_err(VendorError::bad_request)?;
        let thresholds = Thresholds {
            eot_threshold: parameters.number("eot_threshold")?.unwrap_or(0.7),
            eager_eot_threshold: parameters.number("eager_eot_threshold")?,
            eot_timeout_ms: parameters.number("eot_timeout_ms")?.unwrap_or(5_000),
        };
        thresholds.check().map_err(VendorError::bad_request)?;
        for flag in ["numerals", "profanity_filter", "mip_opt_out"] {
            parameters.flag(flag)?;
        }
        Ok(Self { format: parameters.format()?, multilingual, thresholds, keyterms, language_hints })
    }
}

impl Thresholds {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(0.5..=1.0).contains(&self.eot_threshold) {
            return Err("eot_threshold must be between 0.5 and 1.0.".into());
        }
        if let Some(eager) = self.eager_eot_threshold {
            if !(0.3..=0.9).contains(&eager) {
                return Err("eager_eot_threshold must be between 0.3 and 0.9.".into());
            }
            if eager > self.eot_threshold {
                return Err("eager_eot_threshold must not exceed eot_threshold.".into());
            }
        }
        if !(500..=60_000).contains(&self.eot_timeout_ms) {
            return Err("eot_timeout_ms must be between 500 and 60000.".into());
        }
        Ok(())
    }
}

/// Whether the terms are within the vendor's limit.
pub(super) fn check_keyterms(terms: &[String]) -> Result<(), String> {
    let tokens: usize = terms.iter().map(|term| term.split_whitespace().count()).sum();
    if tokens > MOST_KEYTERM_TOKENS {
        return Err(format!("Keyterm limit exceeded: {tokens} tokens, {MOST_KEYTERM_TOKENS} allowed."));
    }
    Ok(())
}

fn is_listen_model(model: &str) -> bool {
    ["nova-3", "nova-2", "nova", "enhanced", "base"].iter().any(|family| {
        model.strip_prefix(family).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|variant| VARIANTS.contains(&variant))
        })
    })
}

const VARIANTS: [&str; 11] = [
    "general",
    "medical",
    "phonecall",
    "meeting",
    "finance",
    "conversationalai",
    "voicemail",
    "video",
    "drivethru",
    "automotive",
    "atc",
];

fn invalid(name: &str, value: &str) -> VendorError {
    VendorError::bad_request(format!("Invalid query parameter: {name}={value}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nova(query: &str) -> Result<NovaQuery, VendorError> {
        NovaQuery::read(&Parameters::parse(Some(query)))
    }

    fn flux(query: &str) -> Result<FluxQuery, VendorError> {
        FluxQuery::read(&Parameters::parse(Some(query)))
    }

    #[test]
    fn a_telephone_request_is_read() {
        let query = nova(
            "model=nova-3&encoding=mulaw&sample_rate=8000&interim_results=true&endpointing=300&utterance_end_ms=1000\
             &vad_events=true&smart_format=true&keyterm=trunk+line&keyterm=b&tag=x",
        )
        .unwrap();
        assert_eq!((query.endpointing, query.utterance_end), (Some(0.3), Some(1.0)));
        assert_eq!(nova("model=nova-3").unwrap().endpointing, Some(0.01));
        assert_eq!(nova("model=nova-3&endpointing=false").unwrap().endpointing, None);
    }

    #[test]
    fn what_the_vendor_refuses_on_v1_is_refused() {
        for query in [
            "model=nova-9",
            "model=flux-general-en",
            "model=nova-3&encoding=mulaw",
            "model=nova-3&encoding=mp7&sample_rate=8000",
            "model=nova-3&keywords=a",
            "model=nova-2&keyterm=a",
            "model=nova-3&utterance_end_ms=1000",
            "model=nova-3&interim_results=yes",
            "model=nova-3&endpointing=soon",
            "model=nova-3&channels=0",
        ] {
            assert_eq!(nova(query).unwrap_err().status, 400, "{query}");
        }
        let keyterms = format!("model=nova-3&keyterm={}", vec!["word"; 501].join("+"));
        assert_eq!(nova(&keyterms).unwrap_err().status, 400);
    }

    #[test]
    fn what_the_vendor_refuses_on_v2_is_refused() {
        let query = flux("model=flux-general-en&encoding=mulaw&sample_rate=8000&eager_eot_threshold=0.5").unwrap();
        assert_eq!(
            query.thresholds,
            Thresholds { eot_threshold: 0.7, eager_eot_threshold: Some(0.5), eot_timeout_ms: 5_000 }
        );
        for query in [
            "encoding=mulaw&sample_rate=8000",
            "model=nova-3",
            "model=flux-general-en&interim_results=true",
            "model=flux-general-en&language=en",
            "model=flux-general-en&eot_threshold=0.4",
            "model=flux-general-en&eager_eot_threshold=0.95",
            "model=flux-general-en&eager_eot_threshold=0.8&eot_threshold=0.6",
            "model=flux-general-en&eot_timeout_ms=100",
            "model=flux-general-en&language_hint=de",
        ] {
            assert_eq!(flux(query).unwrap_err().status, 400, "{query}");
        }
    }
}
