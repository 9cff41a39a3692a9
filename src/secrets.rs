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
use trunkline_base::Secret;
use trunkline_control::vault::Vault;

const FILE: &str = "development-secrets.json";

/// What production is given by its operator.
#[derive(Debug, Clone, Deserialize)]
pub struct Secrets {
    /// Signs users' tokens.
    pub jwt_secret: Secret,
    /// Encrypts credentials: a ring of Fernet keys.
    pub encryption_key: Secret,
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
                serde_json::from_str(&text).map_err(|_| SecretsError::Unreadable { path })
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

    /// Written beside and then linked: nobody ever reads half a file, and of two who make them one wins.
    fn make(path: &Path) -> io::Result<Self> {
        let secrets = Self { jwt_secret: random(), encryption_key: Vault::generate_key() };
        let text = json!({
            "jwt_secret": secrets.jwt_secret.expose(),
            "encryption_key": secrets.encryption_key.expose(),
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
pub fn random() -> Secret {
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
        assert!(Vault::new(&loaded.encryption_key).is_ok());
        fs::write(folder.join(FILE), "{}").unwrap();
        assert!(matches!(Secrets::load_or_make(&folder), Err(SecretsError::Unreadable { .. })));
        fs::remove_dir_all(&folder).unwrap();
    }
}
