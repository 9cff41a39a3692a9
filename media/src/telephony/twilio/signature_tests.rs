//! The vendor's own vectors, made with its Python library and checked with its JavaScript one.

use super::*;

const TOKEN: &str = "2f6a1e5d9c8b7a6f5e4d3c2b1a098765";
const CALL: &str = "CA00000000000000000000000000000001";
const ACCOUNT: &str = "AC00000000000000000000000000000001";
const JSON: &[u8] = br#"{"CallSid":"CA00000000000000000000000000000001","Event":"ping"}"#;
const JSON_URL: &str = "https://voice.example.com/twilio/json?tenant=7&bodySHA256=654f4dc470009fbc886439f3a148a83d71fb20d9743d9215757de702846a75cb";
const JSON_SIGNATURE: &str = "vKh53qrgyL9wTDkTanCR6rU1n2M=";

// One form on a status URL, signed with and without ports.
const NO_PORT: (&str, &str) = ("https://voice.example.com/twilio/status", "saUbOB+0/c624cr5TrOEqSu2/uk=");
const PORT_443: (&str, &str) = ("https://voice.example.com:443/twilio/status", "ARUZuf8cysLjG3JbgzeV2Ww0MjY=");
const PORT_8443: (&str, &str) = ("https://voice.example.com:8443/twilio/status", "AkSTQhQrhrc99l+iUQ+Aa3PSeGw=");
const PORT_8080: (&str, &str) = ("http://voice.example.com:8080/twilio/status", "Tr4jNjl2T9H0RY7yehzgvFEQ45I=");

fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn status() -> Vec<(String, String)> {
    form(&[("CallDuration", "42"), ("CallSid", CALL), ("CallStatus", "completed"), ("SequenceNumber", "3")])
}

fn check(token: &str, url: &str, body: Body<'_>, signature: &str) -> Result<(), SignatureError> {
    let token = Secret::new(token);
    verify(Keys::token(&token), &SignedRequest { url, signature: Some(signature), settings: None, body })
}

#[test]
fn forms_are_signed_in_the_order_of_their_names() {
    let vendor_page = form(&[
        ("To", "+18005551212"),
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675310"),
        ("From", "+14158675310"),
        ("Digits", "1234"),
    ]);
    let url = "https://example.com/myapp.php?foo=1&bar=2";
    assert_eq!(check("12345", url, Body::Form(&vendor_page), "L/OH5YylLD5NRKLltdqwSvS0BnU="), Ok(()));

    let inbound = form(&[
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
    let url = "https://voice.example.com/twilio/voice";
    assert_eq!(check(TOKEN, url, Body::Form(&inbound), "DUDp4CkfWl9Wo4agAlAqh860PGc="), Ok(()));

    let cases = form(&[("b", "1"), ("B", "2"), ("a", "3"), ("Z", "4")]);
    let url = "https://voice.example.com/x";
    assert_eq!(check(TOKEN, url, Body::Form(&cases), "t1D7PBH/xla8fmMQTXXdl++sOGc="), Ok(()));
}

#[test]
fn a_get_is_signed_by_its_url() {
    let url = "https://voice.example.com/twilio/voice?AccountSid=AC00000000000000000000000000000001&CallSid=CA00000000000000000000000000000001&CallStatus=ringing&From=%2B14155550100&To=%2B15005550006";
    assert_eq!(check(TOKEN, url, Body::None, "I//SdoRtv+dyqOyxAAgGOgJd8dQ="), Ok(()));
}

#[test]
fn json_is_signed_by_the_hash_in_its_url() {
    assert_eq!(check(TOKEN, JSON_URL, Body::Json(JSON), JSON_SIGNATURE), Ok(()));
    let pong = String::from_utf8_lossy(JSON).replace("ping", "pong");
    assert_eq!(check(TOKEN, JSON_URL, Body::Json(pong.as_bytes()), JSON_SIGNATURE), Err(SignatureError::BodyHash));
    // Without a hash there is nothing that the body is signed by, whatever else fits.
    let url = "https://voice.example.com/twilio/status";
    let signature = STANDARD.encode_to_string(sign(Algorithm::HmacSha1, &Secret::new(TOKEN), url, &[]));
    assert_eq!(check(TOKEN, url, Body::Json(JSON), &signature), Err(SignatureError::BodyHash));
}

#[test]
fn a_socket_is_signed_as_wss_with_or_without_a_slash() {
    let (plain, slash) = ("y96LTaagUnqnAUM8x/Nbq2/4QU8=", "jnfKvp7lESWwsdg2ae71vK5ovbs=");
    let url = "wss://voice.example.com/twilio/media";
    assert_eq!(check(TOKEN, url, Body::None, plain), Ok(()));
    assert_eq!(check(TOKEN, url, Body::None, slash), Ok(()));
    assert_eq!(check(TOKEN, "wss://voice.example.com/twilio/media/", Body::None, slash), Ok(()));
    assert_eq!(check(TOKEN, "wss://voice.example.com/twilio/media/", Body::None, plain), Err(SignatureError::Mismatch));
    let https = "https://voice.example.com/twilio/media";
    assert_eq!(check(TOKEN, https, Body::None, plain), Err(SignatureError::Mismatch));
    assert_eq!(check(TOKEN, https, Body::None, slash), Err(SignatureError::Mismatch));
}

#[test]
fn a_port_may_be_dropped_or_added() {
    let form = status();
    for (url, accepted, refused) in [
        (NO_PORT.0, &[NO_PORT.1, PORT_443.1][..], &[PORT_8443.1, PORT_8080.1][..]),
        (PORT_443.0, &[NO_PORT.1, PORT_443.1], &[PORT_8443.1]),
        (PORT_8443.0, &[PORT_8443.1, NO_PORT.1], &[PORT_443.1, PORT_8080.1]),
        (PORT_8080.0, &[PORT_8080.1], &[NO_PORT.1, PORT_443.1]),
    ] {
        for signature in accepted {
            assert_eq!(check(TOKEN, url, Body::Form(&form), signature), Ok(()), "{url}");
        }
        for signature in refused {
            assert_eq!(check(TOKEN, url, Body::Form(&form), signature), Err(SignatureError::Mismatch), "{url}");
        }
    }
}

#[test]
fn user_info_is_dropped_and_an_address_keeps_its_colons() {
    assert_eq!(
        spellings("https://user:pass@h.example:8443/a?b=1"),
        ["https://h.example/a?b=1", "https://h.example:8443/a?b=1"]
    );
    assert_eq!(spellings("http://[::1]/a"), ["http://[::1]/a", "http://[::1]:80/a"]);
    assert_eq!(spellings("http://[::1]:81"), ["http://[::1]", "http://[::1]:81"]);
    assert_eq!(spellings("wss://h").len(), 4);
    assert_eq!(spellings("nonsense"), ["nonsense"]);
}

#[test]
fn repeated_names_are_signed_once_for_each_value() {
    let url = "https://voice.example.com/twilio/multi";
    let multi = form(&[("CallSid", CALL), ("Tag", "b"), ("Tag", "a"), ("Tag", "a")]);
    assert_eq!(check(TOKEN, url, Body::Form(&multi), "f3w1i7yyHKLH6vUfBj23wKjPgEw="), Ok(()));
}

#[test]
fn blanks_and_any_language_are_signed_as_they_are() {
    let url = "https://voice.example.com/twilio/voice";
    let body = form(&[
        ("  pad", " x "),
        ("CallSid", CALL),
        ("CallerName", "Zoë 日本"),
        ("Empty", ""),
        ("SpeechResult", "caffè & tè = 2€"),
    ]);
    assert_eq!(check(TOKEN, url, Body::Form(&body), "m26QoDRwG6QqGK90uBEwkEg8SLY="), Ok(()));
}

#[test]
fn a_shared_key_signs_with_its_own_algorithm() {
    let (token, secret) = (Secret::new(TOKEN), Secret::new("sharedkeysecret0123456789"));
    let keys = Keys { auth_token: &token, shared: Some(SharedKey { id: "WK1", secret: &secret }) };
    let form = status();
    let with = |keys, settings, signature| {
        let body = Body::Form(&form);
        verify(keys, &SignedRequest { url: NO_PORT.0, signature: Some(signature), settings, body })
    };
    let sha256 = "7be0DoASI3FLWsPqYZ2UlSOEy7z78hxjYg7c/Ndx1mY=";
    assert_eq!(with(keys, Some("key=WK1,algorithm=HMAC_SHA256"), sha256), Ok(()));
    assert_eq!(with(keys, Some("algorithm=HMAC_SHA256, key=WK1"), sha256), Ok(()));
    assert_eq!(with(keys, Some("key=WK1,algorithm=HMAC_SHA1"), sha256), Err(SignatureError::Mismatch));
    assert_eq!(with(keys, Some("key=WK1,algorithm=MD5"), sha256), Err(SignatureError::UnknownAlgorithm));
    assert_eq!(with(keys, Some("key=WK2,algorithm=HMAC_SHA256"), sha256), Err(SignatureError::UnknownKey));
    assert_eq!(
        with(Keys::token(&token), Some("key=WK1,algorithm=HMAC_SHA256"), sha256),
        Err(SignatureError::UnknownKey)
    );
    assert_eq!(with(keys, Some("key=WK1"), NO_PORT.1), Ok(()), "no algorithm: the account's token");
    assert_eq!(with(keys, None, NO_PORT.1), Ok(()));
}

#[test]
fn nothing_but_the_right_signature_is_accepted() {
    let form = status();
    let token = Secret::new(TOKEN);
    for (signature, error) in [
        (None, SignatureError::Missing),
        (Some(""), SignatureError::Missing),
        (Some("  "), SignatureError::Missing),
        (Some("not base64!"), SignatureError::Malformed),
        (Some("AAAA"), SignatureError::Mismatch),
        (Some(PORT_8443.1), SignatureError::Mismatch),
    ] {
        let request = SignedRequest { url: NO_PORT.0, signature, settings: None, body: Body::Form(&form) };
        assert_eq!(verify(Keys::token(&token), &request), Err(error), "{signature:?}");
    }
    assert_eq!(check("another token", NO_PORT.0, Body::Form(&form), NO_PORT.1), Err(SignatureError::Mismatch));
    let changed = &form[..3];
    assert_eq!(check(TOKEN, NO_PORT.0, Body::Form(changed), NO_PORT.1), Err(SignatureError::Mismatch));
}
