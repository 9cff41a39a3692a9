//! Secrets that development makes for itself, once, and keeps beside its data for its owner's eyes only.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rand::TryRngCore;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use trunkline_base::Secret;
use trunkline_control::vault::Vault;

const FILE: &str = "development-secrets.json";

/// What production is given by its operator.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Signs users' tokens; empty where only a project's published keys do.
    pub jwt_secret: Secret,
    /// Encrypts credentials: a ring of Fernet keys.
    pub encryption_key: Secret,
    /// API keys are hashed under it.
    pub api_key_secret: Secret,
}

/// What the file holds.
#[derive(Deserialize)]
struct Kept {
    jwt_secret: Secret,
    encryption_key: Secret,
    /// Older files have none.
    api_key_secret: Option<Secret>,
}

impl From<Kept> for Secrets {
    fn from(kept: Kept) -> Self {
        // From what there is, for it has to be the same every time, for every program that reads the file.
        let derived = |from: &Secret| {
            let hash = Sha256::digest(format!("API_KEY_SECRET {}", from.expose()));
            Secret::new(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        let api_key_secret = kept.api_key_secret.unwrap_or_else(|| derived(&kept.jwt_secret));
        Self { jwt_secret: kept.jwt_secret, encryption_key: kept.encryption_key, api_key_secret }
    }
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("cannot keep generated secrets in {path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error(
        "{path} does not hold generated secrets; remove it to make new ones, and with it all stored credentials are lost"
    )]
    Unreadable { path: PathBuf },
}

impl Secrets {
    /// Those in the folder, made if there are none yet.
    pub fn load_or_make(data: &Path) -> Result<Self, SecretsError> {
        let path = data.join(FILE);
        let io = |cause| SecretsError::Io { path: path.clone(), cause };
        match fs::read_to_string(&path) {
            Ok(text) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(io)?;
                let kept: Kept = serde_json::from_str(&text).map_err(|_| SecretsError::Unreadable { path })?;
                Ok(kept.into())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(data).map_err(io)?;
                match Self::make(&path) {
                    // Another program made them in the meantime.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load_or_make(data),
                    made => made.map_err(io),
                }
            }
            Err(error) => Err(io(error)),
        }
    }

    /// New ones, that nothing keeps.
    pub fn generate() -> Self {
        Self { jwt_secret: random(), encryption_key: Vault::generate_key(), api_key_secret: random() }
    }

    /// Written beside and then linked: nobody ever reads half a file, and of two who make them one wins.
    fn make(path: &Path) -> io::Result<Self> {
        let secrets = Self::generate();
        let text = json!({
            "jwt_secret": secrets.jwt_secret.expose(),
            "encryption_key": secrets.encryption_key.expose(),
            "api_key_secret": secrets.api_key_secret.expose(),
        });
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(format!("{text:#}\n").as_bytes())?;
            file.sync_all()?;
            fs::hard_link(&beside, path)
        })();
        let _ = fs::remove_file(&beside);
        written.map(|()| secrets)
    }
}

/// 32 random bytes in hexadecimal.
fn random() -> Secret {
    let mut bytes = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("the operating system has randomness");
    Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_are_for_their_owner_only() {
        let folder = std::env::temp_dir().join(format!("trunkline-secrets-{}", std::process::id()));
        let made = Secrets::load_or_make(&folder).unwrap();
        let mode = fs::metadata(folder.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let loaded = Secrets::load_or_make(&folder).unwrap();
        assert_eq!(made.jwt_secret.expose(), loaded.jwt_secret.expose());
        assert_eq!(made.api_key_secret.expose(), loaded.api_key_secret.expose());
        assert!(Vault::new(&loaded.encryption_key).is_ok());
        let older = json!({ "jwt_secret": "a", "encryption_key": "b" }).to_string();
        fs::write(folder.join(FILE), older).unwrap();
        let [first, second] = [0; 2].map(|_| Secrets::load_or_make(&folder).unwrap().api_key_secret);
        assert_eq!((first.expose(), first.expose().len()), (second.expose(), 64));
        fs::write(folder.join(FILE), "{}").unwrap();
        assert!(matches!(Secrets::load_or_make(&folder), Err(SecretsError::Unreadable { .. })));
        fs::remove_dir_all(&folder).unwrap();
    }
}
