//! Files of this machine that are gone when nobody needs them any more.

use std::io;
use std::path::{Path, PathBuf};

/// A temporary file, removed with its last user.
#[derive(Debug)]
pub(super) struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    /// Writes a file into the system's temporary folder.
    ///
    /// # Errors
    /// Where the folder has no room or cannot be written to.
    pub(super) async fn write(bytes: &[u8]) -> io::Result<TemporaryFile> {
        let path = std::env::temp_dir().join(format!("lakebed-{}.parquet", uuid::Uuid::new_v4()));
        let file = TemporaryFile { path };
        tokio::fs::write(&file.path, bytes).await?;
        Ok(file)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
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
        let file = TemporaryFile::write(b"rows").await.unwrap();
        let path = file.path().to_owned();
        assert_eq!(std::fs::read(&path).unwrap(), b"rows");
        drop(file);
        assert!(!path.exists());
    }
}
