use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("trunkline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("call.wav")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn read(path: &Path) -> Vec<i16> {
    let reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8000, 16));
    reader.into_samples().map(Result::unwrap).collect()
}

fn samples(len: usize) -> Vec<i16> {
    (0..len).map(|n| (n % 20_000) as i16).collect()
}

#[tokio::test]
async fn what_is_written_is_in_the_file() {
    let folder = Folder::new("recording-whole");
    let mut writer = RecordingWriter::create(folder.file()).await.unwrap();
    let input = samples(100_000);
    for block in input.chunks(320) {
        writer.write(block).unwrap();
        tokio::task::yield_now().await;
    }
    let recorded = writer.finish().await.unwrap();
    assert_eq!(recorded, Recorded { path: folder.file(), samples: Samples(50_000) });
    assert_eq!(read(&folder.file()), input);
    let mode = std::fs::metadata(folder.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_was_never_finished_can_be_played() {
    let folder = Folder::new("recording-crash");
    let mut writer = RecordingWriter::create(folder.file()).await.unwrap();
    let input = samples(BLOCK);
    writer.write(&input).unwrap();
    let Job::Writing(handle) = std::mem::replace(&mut writer.job, Job::Failed) else {
        panic!("a block is being written")
    };
    let file = tokio::time::timeout(Duration::from_secs(10), handle).await.unwrap().unwrap().unwrap();
    // As after a crash: nothing more is written, not even by a destructor.
    std::mem::forget(file);
    assert_eq!(read(&folder.file()), input);
}

#[tokio::test]
async fn an_existing_file_is_not_overwritten() {
    let folder = Folder::new("recording-exists");
    std::fs::write(folder.file(), b"another call").unwrap();
    let error = RecordingWriter::create(folder.file()).await.unwrap_err();
    assert!(matches!(error, RecordingError::Create(_)), "{error:?}");
    assert_eq!(std::fs::read(folder.file()).unwrap(), b"another call");
}

#[tokio::test]
async fn a_missing_folder_is_told() {
    let folder = Folder::new("recording-missing");
    let error = RecordingWriter::create(folder.0.join("no/such/call.wav")).await.unwrap_err();
    assert!(matches!(error, RecordingError::Create(_)), "{error:?}");
}

#[test]
fn a_disk_that_is_too_slow_ends_the_recording_and_blocks_nobody() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = Folder::new("recording-slow");
        let mut writer = RecordingWriter::create(folder.file()).await.unwrap();
        // The only thread that could write waits for us.
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let slow = tokio::task::spawn_blocking(move || blocked.recv());
        let block = samples(BLOCK);
        for _ in 0..9 {
            writer.write(&block).unwrap();
        }
        assert!(matches!(writer.write(&block), Err(RecordingError::Behind)));
        assert!(matches!(writer.write(&block), Err(RecordingError::Failed)));
        release.send(()).unwrap();
        slow.await.unwrap().unwrap();
        assert!(matches!(writer.finish().await, Err(RecordingError::Failed)));
    });
}

#[tokio::test]
async fn whoever_finds_the_file_can_tell_whether_its_writer_is_alive() {
    let path = std::env::temp_dir().join(format!("trunkline-locked-{}.wav", std::process::id()));
    let mut writer = RecordingWriter::create(path.clone()).await.unwrap();
    let finder = File::open(&path).unwrap();
    writer.write(&[1; 2 * BLOCK]).unwrap();
    assert!(finder.try_lock().is_err() && writer.held() >= 2 * BLOCK);
    writer.finish().await.unwrap();
    finder.try_lock().unwrap();
    std::fs::remove_file(path).unwrap();
}
