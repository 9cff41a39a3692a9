//! The object store: a folder of this machine, or a bucket.

use std::{
    fmt, fs::DirBuilder, ops::Range, os::unix::fs::DirBuilderExt as _, path::Path as FilePath, sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use object_store::{
    ClientOptions, Error, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
    aws::AmazonS3Builder,
    client::{HttpClient, HttpConnector},
    local::LocalFileSystem,
    path::Path,
};
use tokio::{io::AsyncReadExt, time::timeout};

use crate::config::{Objects as Configured, Place};

/// A piece of an upload. S3 takes none that is smaller, but for the last; one upload holds one of them.
const PART: usize = 5 * 1024 * 1024;
/// How long the store may take for a part.
const PART_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to answer anything else, and between two pieces of what is read.
const LIMIT: Duration = Duration::from_secs(15);

/// Why an object can't be had or kept. It quotes no answer of the store's, which may hold keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum StoreError {
    #[error("there is no such object")]
    NotFound,
    #[error("the store refuses the key that it is given")]
    Refused,
    #[error("the store does not answer in time")]
    Timeout,
    #[error("the store fails: {0}")]
    Failed(String),
    #[error("the local file cannot be read: {0}")]
    File(std::io::ErrorKind),
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    #[error("STORAGE_URL {0}")]
    Url(&'static str),
    #[error("the folder {folder} for recordings cannot be made: {cause}")]
    Folder { folder: String, cause: std::io::Error },
    #[error("the bucket of STORAGE_URL cannot be used: {0}")]
    Bucket(String),
}

/// Bytes as they come.
pub(super) type Chunks = BoxStream<'static, Result<Bytes, StoreError>>;

/// Where recordings are kept.
#[derive(Clone)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

impl fmt::Debug for Objects {
    /// A bucket's own description holds its keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Objects {
    /// What the settings name. `http` is how a bucket is reached.
    pub(super) fn open(configured: &Configured, data: &FilePath, http: &reqwest::Client) -> Result<Self, ObjectsError> {
        match configured.place(data).map_err(ObjectsError::Url)? {
            Place::Folder(folder) => {
                let failed = |cause| ObjectsError::Folder { folder: folder.display().to_string(), cause };
                private_folder(&folder).map_err(failed)?;
                let store = LocalFileSystem::new_with_prefix(&folder)
                    .map_err(|error| failed(std::io::Error::other(described(&error))))?
                    .with_automatic_cleanup(true)
                    .with_fsync(true);
                Ok(Self { store: Arc::new(store), prefix: String::new() })
            }
            Place::Bucket { name, prefix } => {
                let options = ClientOptions::new().with_allow_http(true).with_default_content_type("audio/wav");
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(name)
                    .with_region(&configured.storage_region)
                    .with_access_key_id(&configured.storage_access_key_id)
                    .with_secret_access_key(configured.storage_secret_access_key.expose())
                    .with_client_options(options)
                    .with_http_connector(Connector(http.clone()))
                    // One request an object, which every such store understands.
                    .with_disable_bulk_delete(true)
                    // We try again ourselves, later and with everything else that waits.
                    .with_retry(RetryConfig { max_retries: 1, retry_timeout: LIMIT, ..RetryConfig::default() });
                if let Some(endpoint) = &configured.storage_endpoint {
                    builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
                }
                let store = builder.build().map_err(|error| ObjectsError::Bucket(described(&error)))?;
                Ok(Self { store: Arc::new(store), prefix })
            }
        }
    }

    /// Puts a file there, a part at a time. What is there under this key is replaced, once all of it has come.
    pub(super) async fn put(&self, key: &str, file: std::fs::File, length: u64) -> Result<(), StoreError> {
        let path = self.path(key);
        let mut file = tokio::fs::File::from_std(file).take(length);
        let mut part = read_part(&mut file).await?;
        if length <= PART as u64 {
            within(PART_LIMIT, self.store.put(&path, part.into())).await?;
            return Ok(());
        }
        let mut upload = within(LIMIT, self.store.put_multipart(&path)).await?;
        let parts = async {
            while !part.is_empty() {
                within(PART_LIMIT, upload.put_part(PutPayload::from(part))).await?;
                part = read_part(&mut file).await?;
            }
            within(PART_LIMIT, upload.complete()).await.map(drop)
        };
        let done = parts.await;
        if done.is_err() {
            // Parts of what is given up would be kept, and paid for.
            let _ = within(LIMIT, upload.abort()).await;
        }
        done
    }

    /// Opens a part of an object.
    pub(super) async fn open_range(&self, key: &str, range: Range<u64>) -> Result<Chunks, StoreError> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = within(LIMIT, self.store.get_opts(&self.path(key), options)).await?;
        let chunks = futures_util::stream::try_unfold(found.into_stream(), |mut chunks| async move {
            match timeout(LIMIT, chunks.next()).await {
                Ok(Some(Ok(chunk))) => Ok(Some((chunk, chunks))),
                Ok(None) => Ok(None),
                Ok(Some(Err(error))) => Err(StoreError::from(&error)),
                Err(_) => Err(StoreError::Timeout),
            }
        });
        Ok(chunks.boxed())
    }

    /// Deletes an object, which may be gone already.
    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match within(LIMIT, self.store.delete(&self.path(key))).await {
            Ok(()) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn path(&self, key: &str) -> Path {
        if self.prefix.is_empty() { Path::from(key) } else { Path::from(format!("{}/{key}", self.prefix)) }
    }
}

/// A folder that its owner alone can look into.
pub(super) fn private_folder(folder: &FilePath) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

async fn read_part(file: &mut tokio::io::Take<tokio::fs::File>) -> Result<Bytes, StoreError> {
    let mut part = Vec::with_capacity(PART.min(usize::try_from(file.limit()).unwrap_or(PART)));
    let read = (&mut *file).take(PART as u64).read_to_end(&mut part).await;
    read.map_err(|error| StoreError::File(error.kind()))?;
    Ok(part.into())
}

async fn within<T>(limit: Duration, asked: impl Future<Output = object_store::Result<T>>) -> Result<T, StoreError> {
    match timeout(limit, asked).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(StoreError::from(&error)),
        Err(_) => Err(StoreError::Timeout),
    }
}

impl From<&Error> for StoreError {
    fn from(error: &Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::NotFound,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Self::Refused,
            other => Self::Failed(described(other)),
        }
    }
}

/// What can be told of an error: its text holds the request's address and the store's answer.
fn described(error: &Error) -> String {
    let text = error.to_string();
    if let Some((_, status)) = text.split_once("status code: ") {
        let status: String = status.chars().take_while(char::is_ascii_digit).take(3).collect();
        return format!("HTTP status {status}");
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if let Some(io) = one.downcast_ref::<std::io::Error>() {
            return io.kind().to_string();
        }
        cause = one.source();
    }
    match error {
        Error::Generic { store, .. } => format!("no use of {store}"),
        _ => "not as it should".to_owned(),
    }
}

/// Our own client, with our own TLS, for the library has none here.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Seek, Write},
        net::SocketAddr,
    };

    use futures_util::TryStreamExt;
    use trunkline_base::Secret;
    use trunkline_sim::{
        fault::Fault,
        s3::{S3Config, S3Sim},
    };

    use super::*;

    fn file(bytes: &[u8]) -> std::fs::File {
        let path = std::env::temp_dir().join(format!("trunkline-object-{}", uuid::Uuid::now_v7()));
        let mut file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 % 251) as u8).collect()
    }

    async fn read(objects: &Objects, key: &str, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let chunks: Vec<Bytes> = objects.open_range(key, range).await?.try_collect().await?;
        Ok(chunks.concat())
    }

    fn bucket(store: &S3Sim, config: &S3Config) -> Configured {
        Configured {
            storage_url: Some(format!("s3://{}/calls/eu", config.bucket).parse().unwrap()),
            storage_endpoint: Some(store.endpoint().parse().unwrap()),
            storage_region: config.region.clone(),
            storage_access_key_id: config.access_key_id.clone(),
            storage_secret_access_key: Secret::new(config.secret_access_key.as_str()),
        }
    }

    async fn s3() -> (S3Sim, S3Config) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config =
            S3Config { base_path: "/storage/v1/s3".into(), region: "eu-west-1".into(), ..S3Config::new("bucket") };
        (S3Sim::start(SocketAddr::from(([127, 0, 0, 1], 0)), config.clone(), None).await.unwrap(), config)
    }

    fn open(configured: &Configured) -> Objects {
        Objects::open(configured, FilePath::new("unused"), &reqwest::Client::new()).unwrap()
    }

    #[tokio::test]
    async fn a_bucket_takes_a_file_in_parts_and_gives_any_range_of_it() {
        let (store, config) = s3().await;
        let objects = open(&bucket(&store, &config));
        let whole = bytes(2 * PART + 1000);
        objects.put("t/c/one.wav", file(&whole), whole.len() as u64).await.unwrap();
        objects.put("t/c/two.wav", file(&whole), 100).await.unwrap();
        assert_eq!(store.keys(), ["calls/eu/t/c/one.wav", "calls/eu/t/c/two.wav"]);
        assert_eq!(store.object("calls/eu/t/c/one.wav").unwrap(), whole);
        let parts: Vec<_> = store.requests().iter().filter_map(|it| Some((it.part?, it.length))).collect();
        assert_eq!(parts, [(1, PART), (2, PART), (3, 1000)]);
        let middle = PART as u64 - 5..PART as u64 + 5;
        assert_eq!(read(&objects, "t/c/one.wav", middle).await.unwrap(), whole[PART - 5..PART + 5]);
        assert_eq!(read(&objects, "t/c/two.wav", 0..100).await.unwrap(), whole[..100]);
        for _ in 0..2 {
            objects.delete("t/c/one.wav").await.unwrap();
        }
        assert_eq!(read(&objects, "t/c/one.wav", 0..10).await, Err(StoreError::NotFound));
    }

    #[tokio::test]
    async fn what_a_bucket_does_wrong_is_told_without_its_keys_and_leaves_no_parts() {
        let (store, config) = s3().await;
        let objects = open(&bucket(&store, &config));
        let whole = bytes(2 * PART);
        // The second part is refused as often as it is tried.
        config.script.push(None);
        config.script.push(None);
        for _ in 0..2 {
            config.script.push(Some(Fault::Refuse { status: 500, retry_after: None }));
        }
        let failed = objects.put("one.wav", file(&whole), whole.len() as u64).await.unwrap_err();
        assert_eq!(failed, StoreError::Failed("HTTP status 500".into()));
        assert_eq!((store.keys().len(), store.open_uploads()), (0, 0));
        let wrong = Configured { storage_secret_access_key: Secret::new("hush"), ..bucket(&store, &config) };
        let wrong = open(&wrong);
        let refused = wrong.put("one.wav", file(&[1]), 1).await.unwrap_err();
        assert_eq!(refused, StoreError::Refused);
        assert!(!format!("{wrong:?} {objects:?}").contains("hush") && !format!("{objects:?}").contains("sim-secret"));
        store.set_down(true);
        let down = objects.put("one.wav", file(&[1]), 1).await.unwrap_err();
        assert_eq!(down, StoreError::Failed("HTTP status 503".into()));
        drop(store);
        let gone = objects.put("one.wav", file(&[1]), 1).await.unwrap_err().to_string();
        assert!(!gone.contains("127.0.0.1") && !gone.contains("sim-access-key"), "{gone}");
    }

    #[tokio::test]
    async fn a_folder_does_the_same_and_nobody_else_looks_into_it() {
        use std::os::unix::fs::PermissionsExt;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let data = std::env::temp_dir().join(format!("trunkline-objects-{}", uuid::Uuid::now_v7()));
        let objects = Objects::open(&Configured::default(), &data, &reqwest::Client::new()).unwrap();
        let mode = std::fs::metadata(data.join("recordings")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let whole = bytes(PART + 10);
        for _ in 0..2 {
            objects.put("t/c/one.wav", file(&whole), whole.len() as u64).await.unwrap();
        }
        assert_eq!(std::fs::read(data.join("recordings/t/c/one.wav")).unwrap(), whole);
        assert_eq!(read(&objects, "t/c/one.wav", 5..15).await.unwrap(), whole[5..15]);
        objects.delete("t/c/one.wav").await.unwrap();
        objects.delete("t/c/one.wav").await.unwrap();
        assert!(data.join("recordings").is_dir() && !data.join("recordings/t").exists());
        assert_eq!(read(&objects, "t/c/one.wav", 5..15).await, Err(StoreError::NotFound));
        std::fs::remove_dir_all(data).unwrap();
    }
}
