//! `X-Twilio-Signature`: how the vendor proves that a request is its own.
//!
//! The base64 of an HMAC over the address exactly as configured, followed by the form's parameters when there is a form. The key is
//! the account's auth token; a "shared key" webhook names another key and SHA-256.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The header that carries the signature.
pub const HEADER: &str = "X-Twilio-Signature";

/// A form's parameters in the order sent; a name may repeat.
pub type Form = Vec<(String, String)>;

/// The signature of a form POST: address, then every name and value, sorted by name.
pub fn sign_form(auth_token: &str, url: &str, form: &[(String, String)]) -> String {
    hmac_sha1(auth_token, form_data(url, form).as_bytes())
}

/// The signature of a request that carries nothing outside its address: GET, JSON POST (see [`with_body_hash`]), WebSocket upgrade.
pub fn sign_url(auth_token: &str, url: &str) -> String {
    hmac_sha1(auth_token, url.as_bytes())
}

/// The signature of a form POST by a shared key, which uses SHA-256.
pub fn sign_form_sha256(shared_key: &str, url: &str, form: &[(String, String)]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(shared_key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(form_data(url, form).as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// `url` with the hash of a JSON body appended to its query, as the vendor does before it signs and sends one.
pub fn with_body_hash(url: &str, body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}bodySHA256={hex}")
}

/// The form of a webhook's address that the vendor signs: user information dropped, and the port too where the scheme is https.
pub fn signed_address(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = if scheme.eq_ignore_ascii_case("https") { without_port(host) } else { host };
    format!("{scheme}://{host}{path}")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn form_data(url: &str, form: &[(String, String)]) -> String {
    let mut sorted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in form {
        sorted.entry(name).or_default().push(value);
    }
    let mut data = url.to_owned();
    for (name, mut values) in sorted {
        values.sort_unstable();
        values.dedup();
        for value in values {
            data.push_str(name);
            data.push_str(value);
        }
    }
    data
}

fn hmac_sha1(key: &str, data: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(data);
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "2f6a1e5d9c8b7a6f5e4d3c2b1a098765";
    const CALL: &str = "CA00000000000000000000000000000001";
    const ACCOUNT: &str = "AC00000000000000000000000000000001";

    fn form(pairs: &[(&str, &str)]) -> Form {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn status() -> Form {
        form(&[("CallDuration", "42"), ("CallSid", CALL), ("CallStatus", "completed"), ("SequenceNumber", "3")])
    }

    #[test]
    fn v1_form_post_with_a_query() {
        let fields = form(&[
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675310"),
            ("Digits", "1234"),
            ("From", "+14158675310"),
            ("To", "+18005551212"),
        ]);
        let signature = sign_form("12345", "https://example.com/myapp.php?foo=1&bar=2", &fields);
        assert_eq!(signature, "L/OH5YylLD5NRKLltdqwSvS0BnU=");
    }

    #[test]
    fn v2_inbound_voice_webhook() {
        let fields = form(&[
            ("AccountSid", ACCOUNT),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", CALL),
            ("CallStatus", "ringing"),
            ("Called", "+15005550006"),
            ("Caller", "+14155550100"),
            ("CallerName", ""),
            ("Direction", "inbound"),
            ("From", "+14155550100"),
            ("FromCity", "SAN FRANCISCO"),
            ("To", "+15005550006"),
        ]);
        let signature = sign_form(TOKEN, "https://voice.example.com/twilio/voice", &fields);
        assert_eq!(signature, "DUDp4CkfWl9Wo4agAlAqh860PGc=");
    }

    #[test]
    fn v3_get() {
        let url = "https://voice.example.com/twilio/voice?AccountSid=AC00000000000000000000000000000001\
                   &CallSid=CA00000000000000000000000000000001&CallStatus=ringing&From=%2B14155550100&To=%2B15005550006";
        assert_eq!(sign_url(TOKEN, url), "I//SdoRtv+dyqOyxAAgGOgJd8dQ=");
    }

    #[test]
    fn v4_json_body_goes_into_the_query_as_a_hash() {
        let body = br#"{"CallSid":"CA00000000000000000000000000000001","Event":"ping"}"#;
        let url = with_body_hash("https://voice.example.com/twilio/json?tenant=7", body);
        assert!(url.ends_with("&bodySHA256=654f4dc470009fbc886439f3a148a83d71fb20d9743d9215757de702846a75cb"));
        assert_eq!(sign_url(TOKEN, &url), "vKh53qrgyL9wTDkTanCR6rU1n2M=");
        let other = with_body_hash("https://voice.example.com/twilio/json?tenant=7", b"{\"Event\":\"pong\"}");
        assert_ne!(sign_url(TOKEN, &other), "vKh53qrgyL9wTDkTanCR6rU1n2M=");
    }

    #[test]
    fn v5_web_socket_upgrade() {
        assert_eq!(sign_url(TOKEN, "wss://voice.example.com/twilio/media"), "y96LTaagUnqnAUM8x/Nbq2/4QU8=");
        assert_eq!(sign_url(TOKEN, "wss://voice.example.com/twilio/media/"), "jnfKvp7lESWwsdg2ae71vK5ovbs=");
    }

    #[test]
    fn v6_ports() {
        let signatures = [
            ("https://voice.example.com/twilio/status", "saUbOB+0/c624cr5TrOEqSu2/uk="),
            ("https://voice.example.com:443/twilio/status", "ARUZuf8cysLjG3JbgzeV2Ww0MjY="),
            ("https://voice.example.com:8443/twilio/status", "AkSTQhQrhrc99l+iUQ+Aa3PSeGw="),
            ("http://voice.example.com:8080/twilio/status", "Tr4jNjl2T9H0RY7yehzgvFEQ45I="),
        ];
        for (url, signature) in signatures {
            assert_eq!(sign_form(TOKEN, url, &status()), signature, "{url}");
        }
    }

    #[test]
    fn v7_repeated_names_are_sorted_and_told_once() {
        let fields = form(&[("CallSid", CALL), ("Tag", "b"), ("Tag", "a"), ("Tag", "a")]);
        let signature = sign_form(TOKEN, "https://voice.example.com/twilio/multi", &fields);
        assert_eq!(signature, "f3w1i7yyHKLH6vUfBj23wKjPgEw=");
    }

    #[test]
    fn v8_utf8_and_blanks_are_kept() {
        let fields = form(&[
            ("  pad", " x "),
            ("CallSid", CALL),
            ("CallerName", "Zoë 日本"),
            ("Empty", ""),
            ("SpeechResult", "caffè & tè = 2€"),
        ]);
        let signature = sign_form(TOKEN, "https://voice.example.com/twilio/voice", &fields);
        assert_eq!(signature, "m26QoDRwG6QqGK90uBEwkEg8SLY=");
    }

    #[test]
    fn v9_names_sort_by_byte_value() {
        let fields = form(&[("b", "1"), ("B", "2"), ("a", "3"), ("Z", "4")]);
        assert_eq!(sign_form(TOKEN, "https://voice.example.com/x", &fields), "t1D7PBH/xla8fmMQTXXdl++sOGc=");
    }

    #[test]
    fn v10_shared_key_with_sha256() {
        let signature =
            sign_form_sha256("sharedkeysecret0123456789", "https://voice.example.com/twilio/status", &status());
        assert_eq!(signature, "7be0DoASI3FLWsPqYZ2UlSOEy7z78hxjYg7c/Ndx1mY=");
    }

    #[test]
    fn the_port_is_dropped_over_https_only() {
        for (url, signed) in [
            ("https://h.example:8443/x?y=1", "https://h.example/x?y=1"),
            ("https://u:p@h.example/x", "https://h.example/x"),
            ("https://h.example:443", "https://h.example"),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
            ("http://u@h.example:81?a=b:c", "http://h.example:81?a=b:c"),
        ] {
            assert_eq!(signed_address(url), signed);
        }
    }
}
