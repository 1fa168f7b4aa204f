//! A report between the store that gives it and the client that takes it: it is written to a file without a name as fast as
//! the one can, and read from there as fast as the other can. So a slow client holds up neither the store nor memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;

/// How far the writer is.
#[derive(Clone, Copy, Default)]
struct Progress {
    written: u64,
    is_whole: bool,
}

/// Writing and reading end share the file, and with it the place in it, so each goes to its own place first.
#[derive(Clone)]
struct Shared(Arc<Mutex<File>>);

impl Shared {
    fn at(&self, place: u64) -> io::Result<MutexGuard<'_, File>> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(place))?;
        Ok(file)
    }
}

/// The writing end; blocks. Where it is dropped before [`Writer::finish`], the reader meets an error.
pub(super) struct Writer {
    file: Shared,
    progress: watch::Sender<Progress>,
}

/// The reading end. Where it is dropped, the writer meets an error.
pub(super) struct Reader {
    file: Shared,
    progress: watch::Receiver<Progress>,
    read: u64,
}

/// Both ends of an empty file in a folder, which is gone when both are.
///
/// # Errors
/// Where no file can be made there.
pub(super) fn ends(folder: &Path) -> io::Result<(Writer, Reader)> {
    let file = Shared(Arc::new(Mutex::new(tempfile::tempfile_in(folder)?)));
    let (progress, seen) = watch::channel(Progress::default());
    Ok((Writer { file: file.clone(), progress }, Reader { file, progress: seen, read: 0 }))
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let before = *self.progress.borrow();
        let count = self.file.at(before.written)?.write(bytes)?;
        let now = Progress { written: before.written + count as u64, ..before };
        self.progress.send(now).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer {
    /// Tells the reader that no more comes.
    pub(super) fn finish(self) {
        self.progress.send_modify(|progress| progress.is_whole = true);
    }
}

impl Reader {
    /// Waits for the first byte or the end; false where the writer gave up before.
    pub(super) async fn begins(&mut self) -> bool {
        self.progress.wait_for(|progress| progress.written > 0 || progress.is_whole).await.is_ok()
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Where the writer gave up, or the file cannot be read.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let read = self.read;
        let more = self.progress.wait_for(|progress| progress.written > read || progress.is_whole).await;
        let written = more.map_err(|_| io::ErrorKind::UnexpectedEof)?.written;
        let size = PIECE.min(usize::try_from(written - read).unwrap_or(PIECE));
        if size == 0 {
            return Ok(None);
        }
        let file = self.file.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; size];
            file.at(read)?.read_exact(&mut piece)?;
            Ok::<_, io::Error>(piece)
        });
        let piece = reading.await.map_err(io::Error::other)??;
        self.read += piece.len() as u64;
        Ok(Some(piece.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_ends() -> (tempfile::TempDir, Writer, Reader) {
        let folder = tempfile::tempdir().unwrap();
        let (writer, reader) = ends(folder.path()).unwrap();
        (folder, writer, reader)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_that_is_written_is_read_however_the_two_take_turns() {
        let (folder, mut writer, mut reader) = new_ends();
        let writing = std::thread::spawn(move || {
            let all: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
            all.chunks(12_345).for_each(|piece| writer.write_all(piece).unwrap());
            writer.finish();
            all
        });
        assert!(reader.begins().await);
        let mut got = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            assert!(piece.len() <= PIECE);
            got.extend_from_slice(&piece);
        }
        assert!(got == writing.join().unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
    }

    #[tokio::test]
    async fn a_writer_waits_for_no_reader_and_ends_with_it() {
        let (_folder, mut writer, reader) = new_ends();
        writer.write_all(&[0; 10 << 20]).unwrap();
        drop(reader);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_writer_that_gives_up_is_no_end() {
        let (_folder, mut writer, mut reader) = new_ends();
        writer.write_all(b"half").unwrap();
        drop(writer);
        assert_eq!(reader.next().await.unwrap().unwrap(), "half");
        assert_eq!(reader.next().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let (_folder, writer, mut reader) = new_ends();
        drop(writer);
        assert!(!reader.begins().await);
        let (_folder, writer, mut reader) = new_ends();
        writer.finish();
        assert!(reader.begins().await && reader.next().await.unwrap().is_none());
    }
}
