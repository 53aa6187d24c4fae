//! Texts as numbers, for queries that group by them: the engine groups numbers in a fraction of the time and the room.
//!
//! Within one set of codes equal texts have equal numbers and others have others, so that the groups are the same; null
//! stays null. The numbers' order says nothing of that of the texts.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, DictionaryArray, LargeStringDictionaryBuilder, StringViewArray,
    StringViewBuilder, UInt32Array, make_view,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::history::mixed::Mixed;

/// Codes of texts, by the name of their column. Clones are the same codes.
#[derive(Clone, Default)]
pub(in crate::history) struct Codes(Arc<Mutex<Vec<Column>>>);

/// The longest text that a view holds within itself, bytes.
const INLINE: u128 = 12;

/// The codes of one column.
struct Column {
    name: String,
    /// The texts in the order of their codes.
    known: StringViewBuilder,
    /// The codes of short texts by their views, which are the texts.
    short: HashMap<u128, u32, BuildHasherDefault<Mixed>>,
    long: LargeStringDictionaryBuilder<UInt32Type>,
    /// The codes of long texts, in the order in which they came.
    codes_of_long: Vec<u32>,
    /// The texts once some were asked for.
    texts: Option<ArrayRef>,
}

impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codes").finish_non_exhaustive()
    }
}

impl Codes {
    /// The type of a column of texts, few of which are different, that costs the least to be read and coded.
    pub(in crate::history) fn few_texts() -> DataType {
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
    }

    /// Columns with numbers in the place of texts.
    pub(super) fn schema(columns: &SchemaRef) -> SchemaRef {
        let fields = columns.fields().iter().map(|field| match field.data_type() {
            DataType::Utf8View | DataType::Dictionary(..) => Field::new(field.name(), DataType::UInt32, true),
            _ => field.as_ref().clone(),
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The batch with numbers in the place of texts.
    ///
    /// # Errors
    /// Where a column has more different texts than there are numbers.
    pub(in crate::history) fn encoded(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| match column.data_type() {
            DataType::Utf8View | DataType::Dictionary(..) => self.numbers(field.name(), column),
            _ => Ok(Arc::clone(column)),
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Codes::schema(&schema), columns, &options)
    }

    /// The batch with the texts in the place of their numbers. To be asked once all texts have their numbers.
    ///
    /// # Errors
    /// Arrow's, where a number is none of these codes, which is a bug.
    pub(in crate::history) fn decoded(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = batch.schema();
        let mut known = self.lock();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            match known.iter_mut().find(|known| known.name == *field.name()) {
                Some(known) if column.data_type() == &DataType::UInt32 => Ok((
                    field.as_ref().clone().with_data_type(DataType::Utf8View),
                    known.texts_of(column)?,
                )),
                _ => Ok((field.as_ref().clone(), Arc::clone(column))),
            }
        });
        let (fields, columns): (Vec<_>, Vec<_>) = columns.collect::<Result<Vec<_>, ArrowError>>()?.into_iter().unzip();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
    }

    /// The texts of a column in the order of their numbers.
    ///
    /// # Errors
    /// Arrow's, where they cannot be put into one array.
    pub(in crate::history) fn texts(&self, name: &str) -> Result<StringViewArray, ArrowError> {
        let mut known = self.lock();
        match known.iter_mut().find(|known| known.name == name) {
            Some(known) => Ok(known.texts()?.as_string_view().clone()),
            None => Ok(StringViewArray::new_null(0)),
        }
    }

    fn numbers(&self, name: &str, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let mut known = self.lock();
        let place = known.iter().position(|known| known.name == name).unwrap_or_else(|| {
            known.push(Column {
                name: name.to_owned(),
                known: StringViewBuilder::new(),
                short: HashMap::default(),
                long: LargeStringDictionaryBuilder::new(),
                codes_of_long: Vec::new(),
                texts: None,
            });
            known.len() - 1
        });
        match column.as_dictionary_opt::<Int32Type>() {
            Some(dictionary) => known[place].numbers_of_few(dictionary),
            None => known[place].numbers_of(column),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Column>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Column {
    fn numbers_of_few(&mut self, dictionary: &DictionaryArray<Int32Type>) -> Result<ArrayRef, ArrowError> {
        let texts = dictionary.values().as_string::<i32>();
        let numbers = texts.iter().map(|text| text.map(|text| self.number(text)).transpose());
        let numbers: UInt32Array = numbers.collect::<Result<_, ArrowError>>()?;
        take(&numbers, dictionary.keys(), None)
    }

    fn numbers_of(&mut self, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let texts = column.as_string_view();
        // A long text's view says where it lies among those of this batch, where a file's dictionary has it once.
        let mut long: HashMap<u128, u32, BuildHasherDefault<Mixed>> = HashMap::default();
        let mut number_of = |row: usize, view: u128| {
            if is_short(view) {
                return self.number_of_short(view, || texts.value(row));
            }
            match long.get(&view) {
                Some(number) => Ok(*number),
                None => {
                    let number = self.number_of_long(texts.value(row))?;
                    long.insert(view, number);
                    Ok(number)
                }
            }
        };
        let rows = texts.views().iter().enumerate();
        let numbers: Result<UInt32Array, ArrowError> = rows
            .map(|(row, view)| texts.is_valid(row).then(|| number_of(row, *view)).transpose())
            .collect();
        Ok(Arc::new(numbers?))
    }

    fn number(&mut self, text: &str) -> Result<u32, ArrowError> {
        let view = make_view(text.as_bytes(), 0, 0);
        match is_short(view) {
            true => self.number_of_short(view, || text),
            false => self.number_of_long(text),
        }
    }

    fn number_of_short<'a>(&mut self, view: u128, text: impl FnOnce() -> &'a str) -> Result<u32, ArrowError> {
        if let Some(number) = self.short.get(&view) {
            return Ok(*number);
        }
        let number = self.add(text())?;
        self.short.insert(view, number);
        Ok(number)
    }

    fn number_of_long(&mut self, text: &str) -> Result<u32, ArrowError> {
        let place = self.long.append(text)? as usize;
        if place == self.codes_of_long.len() {
            let number = self.add(text)?;
            self.codes_of_long.push(number);
        }
        Ok(self.codes_of_long[place])
    }

    /// The number of a text that has none yet.
    fn add(&mut self, text: &str) -> Result<u32, ArrowError> {
        let number = u32::try_from(self.known.len()).ok().filter(|number| *number < u32::MAX);
        self.known.try_append_value(text)?;
        number.ok_or(ArrowError::DictionaryKeyOverflowError)
    }

    fn texts(&mut self) -> Result<ArrayRef, ArrowError> {
        let known = &mut self.known;
        Ok(Arc::clone(self.texts.get_or_insert_with(|| Arc::new(known.finish()))))
    }

    fn texts_of(&mut self, numbers: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        take(&self.texts()?, numbers.as_primitive::<UInt32Type>(), None)
    }
}

fn is_short(view: u128) -> bool {
    view & u128::from(u32::MAX) <= INLINE
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, Int64Array, StringArray, StringViewArray};

    use super::*;

    #[test]
    fn texts_of_a_dictionary_have_the_same_numbers_as_others() {
        let texts = ["b", "a", "a text that is too long to be held within a view"];
        let keys = Int32Array::from(vec![Some(1), None, Some(0), Some(2), Some(1)]);
        let dictionary = DictionaryArray::new(keys, Arc::new(StringArray::from(texts.to_vec())));
        let plain: StringViewArray = [Some("a"), None, Some("b"), Some(texts[2]), Some("a")]
            .into_iter()
            .collect();
        let [dictionary, plain] = [Arc::new(dictionary) as ArrayRef, Arc::new(plain) as ArrayRef]
            .map(|column| RecordBatch::try_from_iter_with_nullable([("project", column, true)]).unwrap());
        for batches in [[&dictionary, &plain], [&plain, &dictionary]] {
            let codes = Codes::default();
            let coded = batches.map(|batch| codes.encoded(batch).unwrap());
            assert_eq!(coded[0], coded[1]);
            assert_eq!(codes.decoded(&coded[0]).unwrap(), plain);
        }
    }

    #[test]
    fn equal_texts_have_equal_numbers_and_come_back() {
        let batch = |texts: Vec<Option<&str>>| {
            let numbers = Int64Array::from_iter_values(0..texts.len() as i64);
            RecordBatch::try_from_iter_with_nullable([
                ("user", Arc::new(StringViewArray::from(texts)) as ArrayRef, true),
                ("events", Arc::new(numbers) as ArrayRef, true),
            ])
            .unwrap()
        };
        let first = batch(vec![
            Some("b"),
            None,
            Some(""),
            Some("a text that is too long to be held within a view"),
        ]);
        let second = batch(vec![Some("a"), Some("b"), Some("")]);
        let codes = Codes::default();
        let coded = [&first, &second].map(|batch| codes.encoded(batch).unwrap());
        let numbers = |batch: &RecordBatch| batch.column(0).as_primitive::<UInt32Type>().iter().collect::<Vec<_>>();
        assert_eq!(numbers(&coded[0]), [Some(0), None, Some(1), Some(2)]);
        assert_eq!(numbers(&coded[1]), [Some(3), Some(0), Some(1)]);
        assert_eq!(codes.decoded(&coded[0]).unwrap(), first);
        assert_eq!(codes.decoded(&coded[1]).unwrap(), second);
    }
}
