//! Where a call's audio is while the call goes on: a file in the data folder, whose name says all that has to be known of it, so that a
//! process that starts after another has died needs nobody to tell it what was left.
//!
//! A file that is locked is being written. One that is not is over, whoever wrote it and however that ended.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use trunkline_base::CallId;
use trunkline_control::recordings::store::Piece;
use uuid::Uuid;

use super::wave;

/// How long a file that is not locked, and tells nothing by that, must have been as it is: one that is empty, or an earlier version's.
const AT_REST: Duration = Duration::from_secs(60);

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    folder: PathBuf,
}

/// A file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spooled {
    pub(super) path: PathBuf,
    pub(super) piece: Piece,
}

/// A file that nobody writes any more. It is ours until this is dropped.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) file: File,
    /// Its length, header included.
    pub(super) bytes: u64,
}

impl Spool {
    /// In this data folder.
    pub(crate) fn new(data: &Path) -> Self {
        Self { folder: data.join("spool") }
    }

    /// Where the next piece of a call goes, which begins so many milliseconds after its answer.
    pub(crate) fn next(&self, conversation: CallId, begins_ms: u64) -> PathBuf {
        let begins_ms = i32::try_from(begins_ms).unwrap_or(i32::MAX);
        self.path(&Piece { id: Uuid::now_v7(), conversation, begins_ms })
    }

    fn path(&self, piece: &Piece) -> PathBuf {
        self.folder.join(format!("{}.{}.{}.wav", piece.conversation, piece.id, piece.begins_ms))
    }

    pub(super) fn create(&self) -> io::Result<()> {
        super::objects::private_folder(&self.folder)
    }

    /// All that is there, the oldest first.
    pub(super) fn list(&self) -> io::Result<Vec<Spooled>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if let Some(piece) = piece_of(&path) {
                found.push(Spooled { path, piece });
            }
        }
        found.sort_by_key(|spooled| spooled.piece.id);
        Ok(found)
    }

    /// Takes over what earlier versions have left in the folder where recordings are kept: `<conversation>.wav`, and
    /// `<conversation>.<n>.wav` for a call that came back. Says how many.
    pub(super) fn adopt(&self, kept: &Path) -> io::Result<usize> {
        let entries = match std::fs::read_dir(kept) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut adopted = 0;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let Some((conversation, begins_ms)) = left_behind(&path) else { continue };
            let modified = entry.metadata()?.modified()?;
            if modified.elapsed().unwrap_or_default() < AT_REST {
                continue;
            }
            std::fs::rename(&path, self.path(&Piece { id: Uuid::now_v7(), conversation, begins_ms }))?;
            adopted += 1;
        }
        Ok(adopted)
    }
}

/// What is in a file of the spool; `None`: it is none.
pub(crate) fn piece_of(path: &Path) -> Option<Piece> {
    let mut parts = path.file_name()?.to_str()?.strip_suffix(".wav")?.split('.');
    let piece = Piece {
        conversation: parts.next()?.parse().ok()?,
        id: parts.next()?.parse().ok()?,
        begins_ms: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(piece)
}

/// An earlier version's file. Where a later part began is not known; its number keeps the order.
fn left_behind(path: &Path) -> Option<(CallId, i32)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".wav")?;
    let (conversation, part) = name.split_once('.').unwrap_or((name, "0"));
    Some((conversation.parse().ok()?, part.parse().ok()?))
}

impl Spooled {
    /// Locks a file that nobody writes, and makes its header true: whoever wrote it may have died between a block and its length.
    /// `None`: somebody writes it, or it is gone.
    pub(super) fn seal(&self) -> io::Result<Option<Sealed>> {
        let mut file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let found = file.metadata()?;
        let length = found.len();
        // Somebody may have created it just now, and be about to lock it.
        if length <= wave::HEADER && found.modified()?.elapsed().unwrap_or_default() < AT_REST {
            return Ok(None);
        }
        let frames = length.saturating_sub(wave::HEADER) / wave::FRAME;
        if frames > 0 {
            let mut header = [0; wave::HEADER as usize];
            file.read_exact(&mut header)?;
            let whole = wave::header(frames);
            if header != whole {
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&whole)?;
            }
        }
        file.sync_data()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Some(Sealed { file, bytes: wave::bytes(frames) }))
    }

    /// How many bytes it has, unless somebody writes it.
    pub(super) fn waiting(&self) -> Option<u64> {
        let file = File::open(&self.path).ok()?;
        // Read locks of several who count do not keep each other off.
        file.try_lock_shared().ok()?;
        Some(file.metadata().ok()?.len())
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(name: &str) -> (Spool, PathBuf) {
        let data = std::env::temp_dir().join(format!("trunkline-spool-{name}-{}", std::process::id()));
        let spool = Spool::new(&data);
        spool.create().unwrap();
        (spool, data)
    }

    #[test]
    fn a_name_says_all_that_has_to_be_known() {
        let (spool, data) = spool("names");
        let call = CallId::generate();
        let path = spool.next(call, 95_000);
        let piece = piece_of(&path).unwrap();
        assert_eq!((piece.conversation, piece.begins_ms), (call, 95_000));
        assert_ne!(piece_of(&spool.next(call, 95_000)).unwrap().id, piece.id);
        for other in ["x.wav", "a.b.c.wav", "notes.txt", ".wav"] {
            assert_eq!(piece_of(&data.join(other)), None, "{other}");
        }
        std::fs::write(&path, [0; 44]).unwrap();
        std::fs::write(data.join("spool/notes.txt"), "x").unwrap();
        assert_eq!(spool.list().unwrap(), [Spooled { path, piece }]);
        std::fs::remove_dir_all(data).unwrap();
    }

    #[test]
    fn what_is_being_written_is_left_alone_and_what_was_cut_off_gets_its_length() {
        let (spool, data) = spool("locks");
        let path = spool.next(CallId::generate(), 0);
        let writer = File::create(&path).unwrap();
        writer.try_lock().unwrap();
        let spooled = Spooled { piece: piece_of(&path).unwrap(), path: path.clone() };
        // The header still has the length of the block before, and the last frame is half there.
        (&writer).write_all(&wave::header(1)).unwrap();
        (&writer).write_all(&[1; 4 * 3 + 2]).unwrap();
        assert!(spooled.seal().unwrap().is_none() && spooled.waiting().is_none());
        drop(writer);
        assert_eq!(spooled.waiting(), Some(44 + 14));
        let sealed = spooled.seal().unwrap().unwrap();
        assert_eq!(sealed.bytes, 44 + 12);
        assert!(spooled.seal().unwrap().is_none(), "it is ours");
        drop(sealed);
        assert_eq!(std::fs::read(&path).unwrap()[..44], wave::header(3));
        spooled.remove().unwrap();
        spooled.remove().unwrap();
        assert!(spooled.seal().unwrap().is_none());
        std::fs::remove_dir_all(data).unwrap();
    }

    #[test]
    fn earlier_versions_recordings_are_taken_over() {
        let (spool, data) = spool("adopted");
        let kept = data.join("recordings");
        assert_eq!(spool.adopt(&kept).unwrap(), 0);
        std::fs::create_dir(&kept).unwrap();
        let call = CallId::generate();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        for name in [format!("{call}.wav"), format!("{call}.2.wav"), "other.wav".into()] {
            let file = File::create(kept.join(name)).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        File::create(kept.join(format!("{}.wav", CallId::generate()))).unwrap();
        assert_eq!(spool.adopt(&kept).unwrap(), 2);
        let mut begin: Vec<_> =
            spool.list().unwrap().iter().map(|it| (it.piece.conversation, it.piece.begins_ms)).collect();
        begin.sort();
        assert_eq!(begin, [(call, 0), (call, 2)]);
        assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 2);
        std::fs::remove_dir_all(data).unwrap();
    }
}
