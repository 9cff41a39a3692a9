//! Private keys as people paste them: with line breaks lost, escaped or doubled on the way. They are kept in one form.

use jsonwebtoken::EncodingKey;
use trunkline_base::Secret;

/// The longest, in bytes: 8192 bits have 6.5 KiB. Signing with more takes longer than a request may.
const LONGEST: usize = 8 * 1024;

/// Columns of a line.
const LINE: usize = 64;

/// What a key is good for here: RS256.
const WHOLE: &str = "must be the whole private key as PEM, from -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----; line breaks may be \
                     written as \\n";

/// An RSA key as PEM with its lines as they should be, or what has to be true of it.
pub fn private_key(pasted: &Secret) -> Result<Secret, &'static str> {
    canonical(pasted.expose()).map(Secret::new)
}

fn canonical(text: &str) -> Result<String, &'static str> {
    if text.len() > LONGEST {
        return Err("must have at most 8192 bytes");
    }
    let text = text.replace("\\r", "").replace("\\n", "\n");
    let rest = text.trim().strip_prefix("-----BEGIN ").ok_or(WHOLE)?;
    let (label, rest) = rest.split_once("-----").ok_or(WHOLE)?;
    match label {
        "PRIVATE KEY" | "RSA PRIVATE KEY" => {}
        "ENCRYPTED PRIVATE KEY" => return Err(PASSPHRASE),
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => {
            return Err("must be the private key: this is a public key or a certificate");
        }
        "EC PRIVATE KEY" | "OPENSSH PRIVATE KEY" => return Err(RSA),
        _ => return Err(WHOLE),
    }
    let body = rest.strip_suffix("-----").and_then(|rest| rest.strip_suffix(label)).ok_or(WHOLE)?;
    let body = body.strip_suffix("-----END ").ok_or(WHOLE)?;
    // Headers stand only in keys that are encrypted the old way.
    if body.contains(':') {
        return Err(PASSPHRASE);
    }
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    if !body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')) {
        return Err(WHOLE);
    }
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(LINE) {
        pem.extend(line.iter().map(|&b| char::from(b)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    match EncodingKey::from_rsa_pem(pem.as_bytes()) {
        Ok(_) => Ok(pem),
        // It reads as PEM up to here, so either something is missing in the middle or it is another kind of key.
        Err(_) => Err(RSA),
    }
}

const PASSPHRASE: &str = "must be a private key without a passphrase";
const RSA: &str = "must be an RSA private key, whole and in PKCS#8 or PKCS#1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::PRIVATE_KEY;

    #[test]
    fn a_key_is_taken_however_its_lines_were_pasted() {
        let whole = canonical(PRIVATE_KEY).unwrap();
        assert_eq!(whole, PRIVATE_KEY);
        let lines: Vec<&str> = PRIVATE_KEY.lines().collect();
        for pasted in [lines.join("\\n"), lines.join("\r\n"), lines.join("\\r\\n"), lines.join(" "), lines.join("\n\n")]
        {
            assert_eq!(canonical(&format!("  {pasted}\n\n")).as_deref(), Ok(PRIVATE_KEY), "{pasted:.60}");
        }
    }

    #[test]
    fn what_is_no_key_is_told_what_to_be() {
        let lines: Vec<&str> = PRIVATE_KEY.lines().collect();
        let cut = [&lines[..5], &lines[lines.len() - 1..]].concat().join("\n");
        let as_label = |label: &str| PRIVATE_KEY.replace("PRIVATE KEY", label);
        let cases = [
            ("secret", WHOLE),
            ("", WHOLE),
            ("-----BEGIN PRIVATE KEY-----", WHOLE),
            (&lines[..lines.len() - 1].join("\n"), WHOLE),
            (&lines[1..].join("\n"), WHOLE),
            (&cut, RSA),
            (&as_label("EC PRIVATE KEY"), RSA),
            (&as_label("ENCRYPTED PRIVATE KEY"), PASSPHRASE),
            (&PRIVATE_KEY.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n", 1), PASSPHRASE),
            (&as_label("PUBLIC KEY"), "must be the private key: this is a public key or a certificate"),
            (&format!("-----BEGIN PRIVATE KEY-----\n{}", "A".repeat(LONGEST)), "must have at most 8192 bytes"),
        ];
        for (text, message) in cases {
            assert_eq!(canonical(text), Err(message), "{text:.60}");
        }
    }
}
