//! The files under a local folder, as the store would list them for three times the calls to the system: a table's files
//! are listed whenever an archiver or a run begins, and can be very many.

use std::fs::{DirEntry, Metadata, metadata, read_dir};
use std::io::{self, ErrorKind};
use std::path::{Path as Folder, PathBuf};

use object_store::path::Path;
use object_store::{Error, ObjectMeta};

/// The files below a folder whose names are wanted, and of which no folder is hidden by a name that begins with `_` or
/// `.`; none where there is no folder. What goes away meanwhile is left out.
///
/// # Errors
/// The store's, where a folder cannot be read or a name is none that a store knows.
pub(super) fn files(folder: &Folder, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<ObjectMeta>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = match read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => match gone(error) {
                None => continue,
                Some(error) => return Err(fault(error)),
            },
        };
        for entry in entries {
            let entry = entry.map_err(fault)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if is_hidden(&name) {
                continue;
            }
            match look(&entry, is_wanted(&name)).map_err(fault)? {
                Entry::Folder(path) => folders.push(path),
                Entry::File(known) => found.push(object(&entry.path(), &known)?),
                Entry::Other => {}
            }
        }
    }
    Ok(found)
}

/// Whether a name hides a file or folder from readers of a table.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}

enum Entry {
    Folder(PathBuf),
    File(Metadata),
    Other,
}

/// What an entry is; the system is asked for more than its name only where that is needed.
fn look(entry: &DirEntry, is_wanted: bool) -> io::Result<Entry> {
    let kind = entry.file_type()?;
    if kind.is_dir() {
        return Ok(Entry::Folder(entry.path()));
    }
    if !is_wanted && !kind.is_symlink() {
        return Ok(Entry::Other);
    }
    let known = if kind.is_symlink() {
        metadata(entry.path())
    } else {
        entry.metadata()
    };
    match known {
        Ok(known) if known.is_dir() => Ok(Entry::Folder(entry.path())),
        Ok(known) if known.is_file() && is_wanted => Ok(Entry::File(known)),
        Ok(_) => Ok(Entry::Other),
        Err(error) => gone(error).map_or(Ok(Entry::Other), Err),
    }
}

fn object(path: &Folder, known: &Metadata) -> Result<ObjectMeta, Error> {
    Ok(ObjectMeta {
        location: Path::from_absolute_path(path)?,
        last_modified: known.modified().map_err(fault)?.into(),
        size: known.len(),
        e_tag: None,
        version: None,
    })
}

/// The error, unless it is that what was looked for is not there.
fn gone(error: io::Error) -> Option<io::Error> {
    (error.kind() != ErrorKind::NotFound).then_some(error)
}

fn fault(error: io::Error) -> Error {
    Error::Generic {
        store: "LocalFileSystem",
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use futures::TryStreamExt;
    use object_store::ObjectStore;
    use object_store::local::LocalFileSystem;

    use super::*;

    fn is_data(name: &str) -> bool {
        name.ends_with(".parquet")
    }

    #[tokio::test]
    async fn files_are_found_as_the_store_lists_them() {
        let place = tempfile::tempdir().expect("a folder");
        let table = place.path().join("lake/table");
        let linked = place.path().join("elsewhere");
        for folder in [&table.join("year=2026/month=01"), &table.join("a b%20ü"), &linked] {
            create_dir_all(folder).expect("made");
        }
        for file in [
            table.join("year=2026/month=01/a.parquet"),
            table.join("year=2026/month=01/a.parquet#1"),
            table.join("a b%20ü/{b} c%.parquet"),
            table.join("notes.txt"),
            linked.join("c.parquet"),
        ] {
            write(file, "four").expect("written");
        }
        symlink(&linked, table.join("linked")).expect("linked");
        symlink(linked.join("c.parquet"), table.join("d.parquet")).expect("linked");
        symlink(place.path().join("nowhere"), table.join("e.parquet")).expect("linked");
        let by_location = |objects: Vec<ObjectMeta>| -> BTreeMap<Path, _> {
            let entry = |object: ObjectMeta| (object.location, (object.size, object.last_modified));
            objects.into_iter().map(entry).collect()
        };
        let folder = Path::from_absolute_path(&table).expect("a path");
        let listed: Vec<ObjectMeta> = LocalFileSystem::new()
            .list(Some(&folder))
            .try_filter(|object| std::future::ready(is_data(object.location.as_ref())))
            .try_collect()
            .await
            .expect("listed");
        assert_eq!(listed.len(), 4);
        let walked = files(&table, is_data).expect("walked");
        assert_eq!(by_location(walked), by_location(listed));
    }

    #[test]
    fn what_is_hidden_or_not_there_is_left_out() {
        let place = tempfile::tempdir().expect("a folder");
        create_dir_all(place.path().join("_delta_log")).expect("made");
        write(place.path().join("_delta_log/1.parquet"), "").expect("written");
        write(place.path().join(".a.parquet"), "").expect("written");
        assert!(files(place.path(), is_data).expect("walked").is_empty());
        assert!(files(&place.path().join("none"), is_data).expect("walked").is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_an_error() {
        let place = tempfile::tempdir().expect("a folder");
        let file = place.path().join("file");
        write(&file, "").expect("written");
        assert!(files(&file, is_data).is_err());
    }
}
