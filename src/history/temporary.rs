//! Files of this machine that are gone when nobody needs them any more.

use std::io;
use std::path::{Path, PathBuf};

/// A temporary file, removed with its last user.
#[derive(Debug)]
pub(super) struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    /// Writes a file into a folder, which is made where it is not there, or, where that cannot be done or there is none,
    /// into the system's temporary folder.
    ///
    /// # Errors
    /// Where the system's folder has no room or cannot be written to.
    pub(super) async fn write(bytes: &[u8], folder: Option<&Path>) -> io::Result<TemporaryFile> {
        if let Some(folder) = folder
            && let Ok(file) = TemporaryFile::write_into(folder, bytes).await
        {
            return Ok(file);
        }
        TemporaryFile::write_into(&std::env::temp_dir(), bytes).await
    }

    async fn write_into(folder: &Path, bytes: &[u8]) -> io::Result<TemporaryFile> {
        let path = folder.join(format!("lakebed-{}.parquet", uuid::Uuid::new_v4()));
        let file = TemporaryFile { path };
        match tokio::fs::write(&file.path, bytes).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tokio::fs::create_dir_all(folder).await?;
                tokio::fs::write(&file.path, bytes).await?;
            }
            written => written?,
        }
        Ok(file)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it to where it is to stay; its users no longer find it.
    ///
    /// # Errors
    /// Where it is on another file system, or the place cannot be written to; it is then where it was.
    pub(super) async fn move_to(&self, place: &Path) -> io::Result<()> {
        if let Some(folder) = place.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        tokio::fs::rename(&self.path, place).await
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean up, as after a kill.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_there_for_as_long_as_it_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("in/side");
        // A file is no folder, so that the system's is used.
        std::fs::write(folder.path().join("file"), b"").unwrap();
        for (wanted, found) in [
            (None, std::env::temp_dir()),
            (Some(inside.as_path()), inside.clone()),
            (Some(&folder.path().join("file")), std::env::temp_dir()),
        ] {
            let file = TemporaryFile::write(b"rows", wanted).await.unwrap();
            let path = file.path().to_owned();
            assert_eq!(path.parent(), Some(found.as_path()));
            assert_eq!(std::fs::read(&path).unwrap(), b"rows");
            drop(file);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn stays_where_it_was_moved_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = TemporaryFile::write(b"rows", Some(folder.path())).await.unwrap();
        let place = folder.path().join("a/b");
        file.move_to(&place).await.unwrap();
        drop(file);
        assert_eq!(std::fs::read(&place).unwrap(), b"rows");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
