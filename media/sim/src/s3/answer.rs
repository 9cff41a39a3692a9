//! Answers in S3's own form: XML, and bytes of objects.

use axum::{
    body::Bytes,
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use quick_xml::{Reader, events::Event};

use super::objects;

/// An error as S3 tells it.
#[derive(Debug)]
pub(super) struct S3Error {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

impl S3Error {
    const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    pub(super) const fn no_key() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.")
    }

    pub(super) const fn no_bucket() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist")
    }

    pub(super) const fn no_upload() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchUpload", "The specified upload does not exist.")
    }

    pub(super) const fn invalid_part() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidPart", "One or more of the specified parts could not be found.")
    }

    pub(super) const fn too_small() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size",
        )
    }

    pub(super) const fn too_large() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    }

    pub(super) const fn slow_down() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
    }

    pub(super) const fn bad_signature() -> Self {
        let message = "The request signature we calculated does not match the signature you provided.";
        Self::new(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message)
    }

    pub(super) const fn bad_key() -> Self {
        Self::new(StatusCode::FORBIDDEN, "InvalidAccessKeyId", "The access key ID you provided does not exist.")
    }

    pub(super) const fn bad_digest() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match",
        )
    }

    pub(super) const fn bad_range() -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "The requested range is not satisfiable")
    }

    pub(super) fn of_status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = match status.as_u16() {
            403 => "AccessDenied",
            404 => "NoSuchKey",
            405 => "MethodNotAllowed",
            501 => "NotImplemented",
            503 => "SlowDown",
            400..=499 => "InvalidRequest",
            _ => "InternalError",
        };
        Self::new(status, code, "As it was told to answer.")
    }
}

impl IntoResponse for S3Error {
    fn into_response(self) -> Response {
        let (code, message) = (self.code, escaped(self.message));
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>sim</RequestId></Error>");
        (self.status, xml(&body)).into_response()
    }
}

pub(super) fn xml(body: &str) -> Response {
    let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
    ([(header::CONTENT_TYPE, "application/xml")], document).into_response()
}

pub(super) fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

/// An object, or the range of it that is asked for.
pub(super) fn object(parts: &Parts, object: &Bytes) -> Result<Response, S3Error> {
    let range = parts.headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let total = object.len();
    let mut response = Response::builder()
        .header(header::ETAG, objects::etag(object))
        .header(header::LAST_MODIFIED, "Sun, 01 Nov 2026 10:00:00 GMT")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_TYPE, "audio/wav");
    let content = match range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) {
        None => object.clone(),
        Some((first, last)) => {
            let (from, to) = match (first.parse::<usize>(), last.parse::<usize>()) {
                (Ok(first), Ok(last)) => (first, last.saturating_add(1).min(total)),
                (Ok(first), Err(_)) => (first, total),
                (Err(_), Ok(last)) => (total.saturating_sub(last), total),
                _ => return Err(S3Error::bad_range()),
            };
            if from >= to {
                return Err(S3Error::bad_range());
            }
            let of = format!("bytes {from}-{}/{total}", to - 1);
            response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, of);
            object.slice(from..to)
        }
    };
    response.body(content.into()).map_err(|_| S3Error::of_status(500))
}

/// Number and tag of each part that an upload is completed with.
pub(super) fn parts_of(body: &[u8]) -> Result<Vec<(u32, String)>, S3Error> {
    let text = std::str::from_utf8(body).map_err(|_| S3Error::invalid_part())?;
    let mut reader = Reader::from_str(text);
    let (mut parts, mut within, mut number) = (Vec::new(), String::new(), None);
    let mut tag = String::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => within = String::from_utf8_lossy(element.local_name().as_ref()).into_owned(),
            Ok(Event::Text(text)) => {
                let text = text.decode().map_err(|_| S3Error::invalid_part())?;
                match within.as_str() {
                    "PartNumber" => number = text.trim().parse().ok(),
                    "ETag" => tag.push_str(text.trim()),
                    _ => {}
                }
            }
            // The quotation marks of a tag may be written as entities.
            Ok(Event::GeneralRef(entity)) if within == "ETag" && entity.decode().is_ok_and(|name| name == "quot") => {
                tag.push('"');
            }
            Ok(Event::End(element)) => {
                within.clear();
                if element.local_name().as_ref() == b"Part" {
                    let number = number.take().ok_or_else(S3Error::invalid_part)?;
                    parts.push((number, std::mem::take(&mut tag)));
                }
            }
            Ok(Event::Eof) => return Ok(parts),
            Ok(_) => {}
            Err(_) => return Err(S3Error::invalid_part()),
        }
    }
}
