//! Whether a request is signed with the bucket's key: AWS Signature Version 4, in the `Authorization` header. (AWS, "Create a signed AWS
//! API request".)

use axum::http::request::Parts;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::{S3Config, answer::S3Error};

/// Checks key, signature and, if it is signed too, the body's digest.
pub(super) fn check(config: &S3Config, parts: &Parts, body: &[u8]) -> Result<(), S3Error> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = header("authorization").and_then(|it| it.strip_prefix("AWS4-HMAC-SHA256 "));
    let authorization = authorization.ok_or_else(S3Error::bad_signature)?;
    let field = |name: &str| {
        let mut fields = authorization.split(',').map(str::trim);
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).ok_or_else(S3Error::bad_signature)
    };
    let (credential, signed, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    let (key, scope) = credential.split_once('/').ok_or_else(S3Error::bad_signature)?;
    if key != config.access_key_id {
        return Err(S3Error::bad_key());
    }
    let [date, region, service, end] = scope.split('/').collect::<Vec<_>>()[..] else {
        return Err(S3Error::bad_signature());
    };
    if (region, service, end) != (config.region.as_str(), "s3", "aws4_request") {
        return Err(S3Error::bad_signature());
    }
    let digest = header("x-amz-content-sha256").ok_or_else(S3Error::bad_signature)?;
    if digest != "UNSIGNED-PAYLOAD" && digest != hex(&Sha256::digest(body)) {
        return Err(S3Error::bad_digest());
    }
    let mut headers = String::new();
    for name in signed.split(';') {
        let value = match header(name) {
            Some(value) => value,
            None if name == "host" => parts.uri.host().unwrap_or_default(),
            None => return Err(S3Error::bad_signature()),
        };
        headers.push_str(&format!("{name}:{}\n", value.trim()));
    }
    let mut pairs = query(parts.uri.query().unwrap_or_default());
    pairs.sort();
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let path = decoded(parts.uri.path()).ok_or_else(S3Error::bad_signature)?;
    let path = path.split('/').map(encoded).collect::<Vec<_>>().join("/");
    let request = format!("{}\n{path}\n{}\n{headers}\n{signed}\n{digest}", parts.method, pairs.join("&"));
    let at = header("x-amz-date").ok_or_else(S3Error::bad_signature)?;
    let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", hex(&Sha256::digest(request.as_bytes())));
    let secret = format!("AWS4{}", config.secret_access_key);
    let mut key = mac(secret.as_bytes(), date);
    for part in [region, service, end] {
        key = mac(&key, part);
    }
    if hex(&mac(&key, &text)) == signature { Ok(()) } else { Err(S3Error::bad_signature()) }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is good");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A query's parameters, decoded; one without a value has an empty one.
pub(super) fn query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// Percent-decoded.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let code = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// As the signature wants it: all but letters, digits, `-`, `.`, `_` and `~`.
fn encoded(text: impl AsRef<str>) -> String {
    let mut encoded = String::new();
    for byte in text.as_ref().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    /// The vendor's own example: "GET Object" of "Signature Calculations for the Authorization Header".
    #[test]
    fn the_vendors_example_verifies_and_a_changed_one_does_not() {
        let config = S3Config {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            ..S3Config::new("examplebucket")
        };
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
            SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
            Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        let parts = |range: &str| {
            let request = Request::get("/test.txt")
                .header("host", "examplebucket.s3.amazonaws.com")
                .header("range", range)
                .header("x-amz-content-sha256", empty)
                .header("x-amz-date", "20130524T000000Z")
                .header("authorization", authorization);
            request.body(()).unwrap().into_parts().0
        };
        assert!(check(&config, &parts("bytes=0-9"), b"").is_ok());
        assert!(check(&config, &parts("bytes=0-8"), b"").is_err());
        assert!(check(&config, &parts("bytes=0-9"), b"x").is_err());
        let other = S3Config { secret_access_key: "other".into(), ..config };
        assert!(check(&other, &parts("bytes=0-9"), b"").is_err());
    }
}
