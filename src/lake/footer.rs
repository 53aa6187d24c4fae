//! A Parquet file's footer, read by itself.

use object_store::ObjectMeta;
use parquet::file::metadata::ParquetMetaData;

use super::object::ParquetObject;
use super::{Lake, LakeError};

/// Reads a file's footer.
///
/// # Errors
/// [`LakeError::Table`] where the file has none that can be read.
pub async fn read(lake: &Lake, object: &ObjectMeta) -> Result<ParquetMetaData, LakeError> {
    ParquetObject::new(lake, &object.location, object.size)
        .footer()
        .await
        .map_err(|error| LakeError::Table {
            place: object.location.to_string(),
            reason: format!("its Parquet footer cannot be read: {error}"),
        })
}

/// What a file's writer noted in its footer under a name.
pub fn note<'a>(footer: &'a ParquetMetaData, name: &str) -> Option<&'a str> {
    let notes = footer.file_metadata().key_value_metadata()?;
    notes.iter().find(|note| note.key == name)?.value.as_deref()
}
