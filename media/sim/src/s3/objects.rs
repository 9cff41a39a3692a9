//! What a bucket holds: objects, and uploads that are not complete.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use uuid::Uuid;

#[derive(Debug, Default)]
pub(super) struct Bucket {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Debug)]
struct Upload {
    key: String,
    parts: BTreeMap<u32, Bytes>,
}

/// What came of completing an upload.
pub(super) enum Completed {
    Done(String),
    NoUpload,
    NoPart,
    TooSmall,
}

impl Bucket {
    pub(super) fn keys(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.objects.get(key).cloned()
    }

    pub(super) fn put(&mut self, key: &str, content: Bytes) -> String {
        let tag = etag(&content);
        self.objects.insert(key.to_owned(), content);
        tag
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.objects.remove(key);
    }

    pub(super) fn open_uploads(&self) -> usize {
        self.uploads.len()
    }

    pub(super) fn begin(&mut self, key: &str) -> String {
        let id = Uuid::new_v4().simple().to_string();
        self.uploads.insert(id.clone(), Upload { key: key.to_owned(), parts: BTreeMap::new() });
        id
    }

    pub(super) fn put_part(&mut self, upload: &str, number: u32, content: Bytes) -> Option<String> {
        let upload = self.uploads.get_mut(upload)?;
        let tag = etag(&content);
        upload.parts.insert(number, content);
        Some(tag)
    }

    /// Of these parts, in this order, each but the last at least so large.
    pub(super) fn complete(&mut self, id: &str, parts: &[(u32, String)], smallest: usize) -> Completed {
        let Some(upload) = self.uploads.get(id) else { return Completed::NoUpload };
        let mut whole = BytesMut::new();
        for (n, (number, tag)) in parts.iter().enumerate() {
            let Some(part) = upload.parts.get(number).filter(|part| etag(part) == *tag) else {
                return Completed::NoPart;
            };
            if n + 1 < parts.len() && part.len() < smallest {
                return Completed::TooSmall;
            }
            whole.extend_from_slice(part);
        }
        if parts.is_empty() || !parts.is_sorted_by_key(|(number, _)| *number) {
            return Completed::NoPart;
        }
        let key = upload.key.clone();
        self.uploads.remove(id);
        Completed::Done(self.put(&key, whole.freeze()))
    }

    pub(super) fn abort(&mut self, upload: &str) {
        self.uploads.remove(upload);
    }
}

/// The real one's is an MD5, which nobody may rely on.
pub(super) fn etag(content: &[u8]) -> String {
    let digest: String = Sha256::digest(content).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digest}\"")
}
