//! A Parquet file's footer, read by itself.

use object_store::ObjectMeta;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::object::ParquetObject;
use super::snapshot::store_fault;
use super::{Lake, LakeError};

/// Reads a file's footer.
///
/// # Errors
/// [`LakeError::Table`] where the file is gone or has none that can be read, else the store's.
pub async fn read(lake: &Lake, object: &ObjectMeta) -> Result<ParquetMetaData, LakeError> {
    let footer = ParquetObject::new(lake, &object.location, object.size).footer().await;
    footer.map_err(|error| {
        let place = object.location.to_string();
        match of_store(&error) {
            Some(store) => store_fault(&place, store),
            None => LakeError::Table {
                place,
                reason: format!("its Parquet footer cannot be read: {error}"),
            },
        }
    })
}

/// The store's error behind one of Parquet's, where it is the store that failed and not the file that is gone.
fn of_store(error: &ParquetError) -> Option<&object_store::Error> {
    let ParquetError::External(source) = error else {
        return None;
    };
    source
        .downcast_ref::<object_store::Error>()
        .filter(|error| !matches!(error, object_store::Error::NotFound { .. }))
}

/// What a file's writer noted in its footer under a name.
pub fn note<'a>(footer: &'a ParquetMetaData, name: &str) -> Option<&'a str> {
    let notes = footer.file_metadata().key_value_metadata()?;
    notes.iter().find(|note| note.key == name)?.value.as_deref()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::{HasKind, Kind};
    use crate::lake::faulty::{self, Fault, Trouble};

    async fn fault_of_reading(file: Option<&str>, fault: std::sync::Arc<Fault>) -> Kind {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = faulty::lake(folder.path(), fault);
        let content = file.unwrap_or_default();
        if file.is_some() {
            fs::write(folder.path().join("file"), content).expect("written");
        }
        let object = ObjectMeta {
            location: lake.path("file"),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 100,
            e_tag: None,
            version: None,
        };
        let read = super::read(&lake, &object).await;
        read.expect_err("there is no footer").kind()
    }

    #[tokio::test]
    async fn a_store_that_fails_is_tried_again_and_a_file_that_is_damaged_or_gone_is_not() {
        let fails = Fault::at(0, Trouble::Refused);
        assert_eq!(fault_of_reading(Some("PAR1"), fails).await, Kind::Retry);
        let damaged = "no Parquet ".repeat(10);
        assert_eq!(fault_of_reading(Some(&damaged), Fault::none()).await, Kind::Data);
        assert_eq!(fault_of_reading(None, Fault::none()).await, Kind::Data);
    }
}
