//! The recordings of human speech that the program carries with it: what callers say, and what the simulated recogniser knows.

use std::sync::Arc;

use trunkline_sim::{
    audio::parse_wav,
    recogniser::{Library, LibraryError},
};

/// The files' list, with their transcripts, origins and licences.
const MANIFEST: &str = include_str!("../../../fixtures/audio/manifest.tsv");

macro_rules! embed {
    ($($file:literal),+ $(,)?) => {
        &[$(($file, include_bytes!(concat!("../../../fixtures/audio/", $file)))),+]
    };
}

const FILES: &[(&str, &[u8])] = embed![
    "free/goforward_8k.wav",
    "free/digits_29340_8k.wav",
    "free/cards_001_8k.wav",
    "free/cards_005_8k.wav",
    "free/jfk_8k.wav",
    "free/something_8k.wav",
    "free/librivox_0880_8k.wav",
    "free/librivox_0930_8k.wav",
    "cc-by-sa/ast_demo-thanks_8k.wav",
];

/// The built-in recordings with their transcripts, by name: `goforward`, `jfk`, …
pub(crate) fn library() -> Result<Arc<Library>, LibraryError> {
    let mut clips = Vec::with_capacity(FILES.len());
    for (file, wav) in FILES {
        let clip = parse_wav(wav).map_err(|source| LibraryError::Recording { file: (*file).to_owned(), source })?;
        clips.push((*file, transcript(file).unwrap_or_default(), clip));
    }
    Ok(Arc::new(Library::from_clips(clips)?))
}

fn transcript(file: &str) -> Option<&'static str> {
    MANIFEST.lines().find_map(|line| {
        let mut columns = line.split('\t');
        (columns.next() == Some(file)).then(|| columns.next()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_carries_what_the_manifest_lists() {
        let listed: Vec<_> = MANIFEST.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
        let carried: Vec<_> = FILES.iter().map(|(file, _)| *file).collect();
        assert_eq!(carried, listed);
        let library = library().unwrap();
        assert!(library.recordings().iter().all(|clip| !clip.transcript().is_empty()));
        assert_eq!(library.get("goforward").unwrap().transcript(), "go forward ten meters");
    }
}
