//! What Storage keeps: buckets, and the objects in them.

use std::{collections::BTreeMap, time::SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::error::StorageError;
use crate::dates;

#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pub(super) id: String,
    pub(super) public: bool,
    pub(super) file_size_limit: Option<u64>,
    pub(super) allowed_mime_types: Option<Vec<String>>,
    created_at: String,
    updated_at: String,
    /// By their full paths.
    objects: BTreeMap<String, Object>,
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) id: String,
    pub(super) content: Bytes,
    pub(super) content_type: String,
    pub(super) cache_control: String,
    pub(super) etag: String,
    metadata: Value,
    created_at: String,
    updated_at: String,
}

/// What is uploaded.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) content: Bytes,
    pub(super) content_type: String,
    pub(super) cache_control: String,
    pub(super) metadata: Value,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    buckets: BTreeMap<String, Bucket>,
}

impl Store {
    pub(super) fn buckets(&self) -> Vec<Value> {
        self.buckets.values().map(Bucket::to_json).collect()
    }

    pub(super) fn bucket(&self, id: &str) -> Result<&Bucket, StorageError> {
        self.buckets.get(id).ok_or_else(StorageError::no_bucket)
    }

    pub(super) fn bucket_mut(&mut self, id: &str) -> Result<&mut Bucket, StorageError> {
        self.buckets.get_mut(id).ok_or_else(StorageError::no_bucket)
    }

    pub(super) fn create_bucket(&mut self, id: &str, options: &Value) -> Result<(), StorageError> {
        if id.is_empty() || id.len() > 100 || id.contains('/') {
            return Err(StorageError::new(400, "InvalidBucketName", "Invalid Input", "Bucket name invalid"));
        }
        if self.buckets.contains_key(id) {
            return Err(StorageError::new(409, "BucketAlreadyExists", "Duplicate", "The resource already exists"));
        }
        let now = dates::iso8601(SystemTime::now());
        let mut bucket = Bucket {
            id: id.into(),
            public: false,
            file_size_limit: None,
            allowed_mime_types: None,
            created_at: now.clone(),
            updated_at: now,
            objects: BTreeMap::new(),
        };
        bucket.change(options);
        self.buckets.insert(id.into(), bucket);
        Ok(())
    }

    pub(super) fn delete_bucket(&mut self, id: &str) -> Result<(), StorageError> {
        if !self.bucket(id)?.objects.is_empty() {
            let message = "The bucket you tried to delete is not empty";
            return Err(StorageError::new(409, "BucketNotEmpty", "InvalidRequest", message));
        }
        self.buckets.remove(id);
        Ok(())
    }
}

impl Bucket {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.id,
            "owner": "",
            "public": self.public,
            "file_size_limit": self.file_size_limit,
            "allowed_mime_types": self.allowed_mime_types,
            "type": "STANDARD",
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        })
    }

    pub(super) fn change(&mut self, options: &Value) {
        if let Some(public) = options.get("public").and_then(Value::as_bool) {
            self.public = public;
        }
        if let Some(limit) = options.get("file_size_limit") {
            self.file_size_limit = limit.as_u64();
        }
        if let Some(types) = options.get("allowed_mime_types") {
            let types =
                types.as_array().map(|types| types.iter().filter_map(Value::as_str).map(str::to_owned).collect());
            self.allowed_mime_types = types;
        }
        self.updated_at = dates::iso8601(SystemTime::now());
    }

    pub(super) fn clear(&mut self) {
        self.objects.clear();
    }

    pub(super) fn object(&self, path: &str) -> Result<&Object, StorageError> {
        self.objects.get(path).ok_or_else(StorageError::no_key)
    }

    /// Checks an upload against the bucket's limits and the project's, and keeps it. Tells its id.
    pub(super) fn put(&mut self, path: &str, upload: Upload, largest: u64) -> Result<String, StorageError> {
        let most = self.file_size_limit.unwrap_or(largest).min(largest);
        if upload.content.len() as u64 > most {
            return Err(StorageError::refusal(413, None));
        }
        let kind = upload.content_type.split(';').next().unwrap_or_default().trim();
        let fits = |allowed: &String| {
            allowed == kind || allowed.strip_suffix('*').is_some_and(|family| kind.starts_with(family))
        };
        if self.allowed_mime_types.as_ref().is_some_and(|allowed| !allowed.iter().any(fits)) {
            let message = format!("mime type {kind} is not supported");
            return Err(StorageError::new(415, "InvalidMimeType", "invalid_mime_type", &message));
        }
        let now = dates::iso8601(SystemTime::now());
        let before = self.objects.get(path).map(|object| (object.id.clone(), object.created_at.clone()));
        let (id, created_at) = before.unwrap_or_else(|| (uuid::Uuid::new_v4().to_string(), now.clone()));
        let digest = Sha256::digest(&upload.content);
        let etag = digest.iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let Upload { content, content_type, cache_control, metadata } = upload;
        let etag = format!("\"{etag}\"");
        let object = Object {
            id: id.clone(),
            content,
            content_type,
            cache_control,
            etag,
            metadata,
            created_at,
            updated_at: now,
        };
        self.objects.insert(path.into(), object);
        Ok(id)
    }

    /// Takes an object away and tells what it was.
    pub(super) fn take(&mut self, path: &str) -> Option<Object> {
        self.objects.remove(path)
    }

    /// Puts an object at a path where there is none.
    pub(super) fn place(&mut self, path: &str, object: Object) -> Result<(), StorageError> {
        if self.objects.contains_key(path) {
            return Err(StorageError::duplicate());
        }
        self.objects.insert(path.into(), object);
        Ok(())
    }

    /// What is directly in a folder: its objects, and its folders without an id.
    pub(super) fn list(&self, query: &Value) -> Vec<Value> {
        let text = |name: &str| query.get(name).and_then(Value::as_str).unwrap_or_default();
        let whole = |name: &str, default| {
            query.get(name).and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok()).unwrap_or(default)
        };
        let folder = text("prefix").trim_matches('/');
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut entries: BTreeMap<&str, Value> = BTreeMap::new();
        for (path, object) in &self.objects {
            let Some(below) = path.strip_prefix(&folder).filter(|below| below.contains(text("search"))) else {
                continue;
            };
            match below.split_once('/') {
                Some((name, _)) => {
                    let nothing = json!({"name": name, "id": null, "updated_at": null, "created_at": null, "last_accessed_at": null, "metadata": null});
                    entries.entry(name).or_insert(nothing);
                }
                None => {
                    entries.insert(below, object.to_json(below));
                }
            }
        }
        let mut entries: Vec<Value> = entries.into_values().collect();
        let column = query.pointer("/sortBy/column").and_then(Value::as_str).unwrap_or("name");
        entries.sort_by_key(|entry| entry.get(column).map(Value::to_string));
        if query.pointer("/sortBy/order").is_some_and(|order| order == "desc") {
            entries.reverse();
        }
        entries.into_iter().skip(whole("offset", 0)).take(whole("limit", 100)).collect()
    }
}

impl Object {
    /// As lists have it.
    pub(super) fn to_json(&self, name: &str) -> Value {
        json!({
            "name": name,
            "id": self.id,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "last_accessed_at": self.updated_at,
            "metadata": {
                "eTag": self.etag,
                "size": self.content.len(),
                "contentLength": self.content.len(),
                "mimetype": self.content_type,
                "cacheControl": self.cache_control,
                "lastModified": self.updated_at,
                "httpStatusCode": 200,
            },
        })
    }

    /// As `info` has it.
    pub(super) fn info(&self, bucket: &str, path: &str) -> Value {
        json!({
            "id": self.id,
            "name": path,
            "bucket_id": bucket,
            "size": self.content.len(),
            "content_type": self.content_type,
            "cache_control": self.cache_control,
            "etag": self.etag,
            "metadata": self.metadata,
            "last_modified": self.updated_at,
            "created_at": self.created_at,
        })
    }

    /// A copy of its own.
    pub(super) fn duplicated(&self) -> Self {
        let now = dates::iso8601(SystemTime::now());
        Self { id: uuid::Uuid::new_v4().to_string(), created_at: now.clone(), updated_at: now, ..self.clone() }
    }
}
