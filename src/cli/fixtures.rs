//! Where the recorded speech is: beside the working directory, or where the program was built.

use std::path::{Path, PathBuf};

/// The folder with the recordings and their `manifest.tsv`.
pub(super) fn audio() -> Result<PathBuf, String> {
    [Path::new("fixtures/audio"), Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/audio"))]
        .into_iter()
        .find(|folder| folder.join("manifest.tsv").is_file())
        .map(Path::to_owned)
        .ok_or_else(|| "the recorded speech is missing: run this where the folder fixtures/audio is".into())
}
