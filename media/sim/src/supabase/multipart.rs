//! `multipart/form-data`, as far as an upload has it: some fields, and one file.

/// A part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The field's name; empty if it has none.
    pub(super) name: String,
    /// Whether it is a file.
    pub(super) file: bool,
    pub(super) content_type: Option<String>,
    pub(super) content: Vec<u8>,
}

/// The parts of a body, if its content type is that of a form and it is one.
pub(super) fn parts(content_type: &str, body: &[u8]) -> Option<Vec<Part>> {
    let boundary = content_type
        .strip_prefix("multipart/form-data")?
        .split(';')
        .find_map(|it| it.trim().strip_prefix("boundary="))?;
    let delimiter = format!("\r\n--{}", boundary.trim_matches('"'));
    // The first delimiter may be at the very beginning.
    let body = [b"\r\n", body].concat();
    let mut parts = Vec::new();
    let mut rest = &body[find(&body, delimiter.as_bytes())? + delimiter.len()..];
    while !rest.starts_with(b"--") {
        let content = rest.strip_prefix(b"\r\n")?;
        let end = find(content, delimiter.as_bytes())?;
        parts.push(part(&content[..end])?);
        rest = &content[end + delimiter.len()..];
    }
    Some(parts)
}

fn part(part: &[u8]) -> Option<Part> {
    let (headers, content) = match find(part, b"\r\n\r\n") {
        Some(end) => (std::str::from_utf8(&part[..end]).ok()?, &part[end + 4..]),
        None => return None,
    };
    let header = |wanted: &str| {
        let line = headers.split("\r\n").filter_map(|line| line.split_once(':'));
        line.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned())
    };
    let disposition = header("content-disposition").unwrap_or_default();
    let parameter = |wanted: &str| {
        let mut parameters = disposition.split(';').filter_map(|it| it.trim().split_once('='));
        parameters.find(|(name, _)| *name == wanted).map(|(_, value)| value.trim_matches('"').to_owned())
    };
    let name = parameter("name").unwrap_or_default();
    Some(Part {
        file: parameter("filename").is_some(),
        name,
        content_type: header("content-type"),
        content: content.to_vec(),
    })
}

fn find(within: &[u8], wanted: &[u8]) -> Option<usize> {
    within.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_falls_into_its_parts() {
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"cacheControl\"\r\n\r\n3600\r\n--xyz\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a b.txt\"\r\nContent-Type: text/plain\r\n\r\none\r\n\r\n--two\r\n--xyz--\r\n";
        let parts = parts("multipart/form-data; boundary=\"xyz\"", body).unwrap();
        let text = Part { name: "cacheControl".into(), file: false, content_type: None, content: b"3600".into() };
        let file = Part {
            name: "file".into(),
            file: true,
            content_type: Some("text/plain".into()),
            content: b"one\r\n\r\n--two".into(),
        };
        assert_eq!(parts, [text, file]);
    }

    #[test]
    fn what_is_no_form_has_no_parts() {
        for (content_type, body) in [
            ("text/plain", &b"--x--"[..]),
            ("multipart/form-data", b"--x--"),
            ("multipart/form-data; boundary=x", b"--x\r\nnever ended"),
            ("multipart/form-data; boundary=x", b""),
        ] {
            assert_eq!(parts(content_type, body), None);
        }
        assert_eq!(parts("multipart/form-data; boundary=x", b"--x--"), Some(Vec::new()));
    }
}
