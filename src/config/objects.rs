//! Settings of where recordings are kept.

use std::path::{Path, PathBuf};

use clap::Args;
use trunkline_base::Secret;
use url::Url;

use super::{is_loopback, secret};

/// The region of stores that have none.
const NO_REGION: &str = "us-east-1";

/// Where recordings are kept: a folder, or a bucket of S3 or of anything that speaks as S3 does, such as Supabase Storage.
#[derive(Debug, Clone, Args)]
pub struct Objects {
    /// Where recordings are kept once their call is over: `file:///folder`, or `s3://bucket/prefix`. Several nodes need one place for all
    /// of them. Default: `recordings` in the data folder.
    #[arg(long, env = "STORAGE_URL")]
    pub storage_url: Option<Url>,
    /// Where the bucket is, such as `https://project.storage.supabase.co/storage/v1/s3`. Default: Amazon's, by the region.
    #[arg(long, env = "STORAGE_ENDPOINT")]
    pub storage_endpoint: Option<Url>,
    /// The bucket's region.
    #[arg(long, env = "STORAGE_REGION", default_value = NO_REGION)]
    pub storage_region: String,
    /// The key that opens the bucket.
    #[arg(long, env = "STORAGE_ACCESS_KEY_ID", default_value = "")]
    pub storage_access_key_id: String,
    /// That key's secret.
    #[arg(long, env = "STORAGE_SECRET_ACCESS_KEY", hide_env_values = true, default_value = "", value_parser = secret)]
    pub storage_secret_access_key: Secret,
}

impl Default for Objects {
    /// As with nothing set.
    fn default() -> Self {
        Self {
            storage_url: None,
            storage_endpoint: None,
            storage_region: NO_REGION.into(),
            storage_access_key_id: String::new(),
            storage_secret_access_key: Secret::default(),
        }
    }
}

/// What STORAGE_URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A part of a bucket.
    Bucket {
        /// The bucket.
        name: String,
        /// What stands before every key; empty: nothing does.
        prefix: String,
    },
}

impl Objects {
    /// Where recordings are kept, by a server with this data folder.
    pub fn place(&self, data: &Path) -> Result<Place, &'static str> {
        let Some(url) = &self.storage_url else { return Ok(Place::Folder(data.join("recordings"))) };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("must have no user, query or fragment: keys are settings of their own");
        }
        match url.scheme() {
            "file" => url.to_file_path().map(Place::Folder).map_err(|()| "must be file:/// with a whole path"),
            "s3" => match url.host_str() {
                Some(name) if url.port().is_none() => {
                    Ok(Place::Bucket { name: name.to_owned(), prefix: url.path().trim_matches('/').to_owned() })
                }
                _ => Err("must name a bucket: s3://bucket/prefix"),
            },
            _ => Err("must be file:///folder or s3://bucket/prefix"),
        }
    }

    /// Adds all that is wrong.
    pub(super) fn check(&self, production: bool, wrong: &mut Vec<String>) {
        let bucket = match self.place(Path::new("data")) {
            Ok(Place::Folder(_)) => false,
            Ok(Place::Bucket { .. }) => true,
            Err(what) => return wrong.push(format!("STORAGE_URL {what}")),
        };
        if bucket && (self.storage_access_key_id.is_empty() || self.storage_secret_access_key.is_empty()) {
            wrong.push("STORAGE_ACCESS_KEY_ID and STORAGE_SECRET_ACCESS_KEY are missing: they open the bucket".into());
        }
        if let Some(url) = &self.storage_endpoint {
            let is_address = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
            if !is_address || !url.username().is_empty() {
                wrong
                    .push("STORAGE_ENDPOINT must be http:// or https:// with a host, and without query or user".into());
            } else if production && url.scheme() != "https" && !is_loopback(url) {
                wrong.push("STORAGE_ENDPOINT must be https:// in production: what callers said travels over it".into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, &'static str> {
        let objects = Objects { storage_url: Some(url.parse().unwrap()), ..Objects::default() };
        objects.place(Path::new("data"))
    }

    #[test]
    fn a_place_is_a_folder_or_a_part_of_a_bucket() {
        assert_eq!(Objects::default().place(Path::new("d")), Ok(Place::Folder("d/recordings".into())));
        assert_eq!(place("file:///var/lib/calls"), Ok(Place::Folder("/var/lib/calls".into())));
        let bucket = |name: &str, prefix: &str| Ok(Place::Bucket { name: name.into(), prefix: prefix.into() });
        assert_eq!(place("s3://calls"), bucket("calls", ""));
        assert_eq!(place("s3://calls/eu/1/"), bucket("calls", "eu/1"));
        for wrong in ["https://calls.example.com", "s3://key:hush@calls", "s3://", "s3://calls?x=1", "s3://calls:9000"]
        {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_names_its_setting_and_no_secret() {
        let objects = Objects {
            storage_url: Some("s3://calls".parse().unwrap()),
            storage_endpoint: Some("http://store.example.com".parse().unwrap()),
            storage_secret_access_key: Secret::new("hush"),
            ..Objects::default()
        };
        let mut wrong = Vec::new();
        objects.check(true, &mut wrong);
        let told = wrong.join("\n");
        assert!(told.contains("STORAGE_ACCESS_KEY_ID") && told.contains("STORAGE_ENDPOINT must be https"), "{told}");
        assert!(!told.contains("hush") && !format!("{objects:?}").contains("hush"));
        wrong.clear();
        objects.check(false, &mut wrong);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
    }
}
