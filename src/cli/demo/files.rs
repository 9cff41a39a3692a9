//! What the demo leaves behind.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use trunkline_base::CallId;

use trunkline_media::event::{CallEventKind, Speaker};

use super::evidence::Evidence;
use crate::{
    cli::{
        audio::Sides,
        timeline::{self, Picture, Spoken},
        waterfall::Waterfalls,
    },
    journal::TurnSpeaker,
};

/// Where new folders are made.
const BELOW: &str = "out";
/// The most demos whose folders are counted.
const MOST: u32 = 10_000;

/// The demo's folder and what is in it.
#[derive(Debug)]
pub struct Output {
    /// The folder.
    pub folder: PathBuf,
    call: Option<CallId>,
    files: Vec<(&'static str, PathBuf)>,
}

/// Why something cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {cause}")]
pub struct FilesError {
    path: PathBuf,
    cause: String,
}

fn failed<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> FilesError {
    let path = path.to_owned();
    move |cause| FilesError { path, cause: cause.to_string() }
}

impl Output {
    /// Uses `folder`, or makes a new one: out/demo-1, out/demo-2, …
    pub(super) fn create(folder: Option<PathBuf>) -> Result<Self, FilesError> {
        let folder = match folder {
            Some(folder) => {
                std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
                folder
            }
            None => new_folder()?,
        };
        Ok(Self { folder, call: None, files: Vec::new() })
    }

    pub(super) const fn expect(&mut self, call: CallId) {
        self.call = Some(call);
    }

    /// The call that the server took.
    pub(super) const fn call(&self) -> Option<CallId> {
        self.call
    }

    /// What was written, with what it is.
    pub fn files(&self) -> &[(&'static str, PathBuf)] {
        &self.files
    }

    /// Writes the recording, as the API gave it, reads it into the evidence, and writes everything else.
    pub(super) fn write(&mut self, evidence: &mut Evidence, recording: Option<&[u8]>) -> Result<(), FilesError> {
        if let Some(recording) = recording {
            let path = self.folder.join("call.wav");
            std::fs::write(&path, recording).map_err(failed(&path))?;
            evidence.recording = Some(Sides::read(&path).map_err(failed(&path))?);
            self.files.push(("recording (stereo)", path));
        }
        if let Some(stream) = evidence.stream() {
            let path = self.folder.join("phone.wav");
            stream.write_stereo_wav(&path).map_err(failed(&path))?;
            self.files.push(("what the phone heard", path));
        }
        if let Some(sides) = &evidence.recording {
            let path = self.folder.join("timeline.svg");
            timeline::write(&path, &picture(evidence, sides)).map_err(failed(&path))?;
            self.files.push(("picture of the call", path));
        }
        let path = self.folder.join("transcript.json");
        let transcript = serde_json::json!({
            "conversation": evidence.stored,
            "turns": evidence.journal.turns(),
            "events": evidence.journal.events(),
        });
        let text = serde_json::to_string_pretty(&transcript).map_err(failed(&path))?;
        std::fs::write(&path, text + "\n").map_err(failed(&path))?;
        self.files.push(("transcript and events", path));
        Ok(())
    }
}

/// What the picture shows: the rows' turns, over the recording.
fn picture<'a>(evidence: &Evidence, sides: &'a Sides) -> Picture<'a> {
    let spoken = evidence.journal.turns().into_iter().map(|turn| Spoken {
        agent: turn.speaker == TurnSpeaker::Agent,
        from: Duration::from_millis(turn.started_ms),
        to: Duration::from_millis(turn.ended_ms),
        lost: turn.generated_text.map(|all| all.strip_prefix(&turn.text).unwrap_or(&all).trim().to_owned()),
        text: turn.text,
    });
    let mut waterfalls = Waterfalls::default();
    let (mut answers, mut said) = (Vec::new(), String::new());
    for event in &evidence.events {
        if let CallEventKind::TurnEnded { speaker: Speaker::Caller, text, .. } = &event.kind {
            said = text.expose().split_whitespace().take(4).collect::<Vec<_>>().join(" ");
        }
        if let Some(waterfall) = waterfalls.handle_event(event) {
            answers.push((said.clone(), waterfall));
        }
    }
    Picture { title: "A call to Trunkline's demo agent".into(), sides, spoken: spoken.collect(), answers }
}

fn new_folder() -> Result<PathBuf, FilesError> {
    let below = Path::new(BELOW);
    std::fs::create_dir_all(below).map_err(failed(below))?;
    for number in 1..=MOST {
        let folder = below.join(format!("demo-{number}"));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&folder)(error)),
        }
    }
    Err(failed(below)(format!("{MOST} demos are in it already")))
}
