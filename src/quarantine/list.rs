//! What is in quarantine, by reason, with samples. The table is read once, and little of it is held.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use serde::Serialize;

use super::Selection;
use super::replayed::{Replayed, Unrecorded};
use super::rows::{self, Row, Rows};
use crate::lake::snapshot::AsOf;
use crate::lake::{Lake, LakeError, QUARANTINE, RAW_EVENTS, TableSnapshot, TableWriter};
use crate::quality::Progress;

/// Bytes of a key or a value that a sample shows.
const SHOWN_BYTES: usize = 240;

/// What is in quarantine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The table's version; none where there is no such table.
    pub version: Option<u64>,
    /// Messages.
    pub messages: u64,
    /// Of those, how many a replay has made rows.
    pub replayed: u64,
    /// By reason, the most frequent first.
    pub reasons: Vec<ReasonListing>,
}

/// The messages of one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReasonListing {
    /// The reason.
    pub reason: String,
    /// Messages.
    pub messages: u64,
    /// Of those, how many a replay has made rows.
    pub replayed: u64,
    /// When the first came.
    pub first: Option<DateTime<Utc>>,
    /// When the last came.
    pub last: Option<DateTime<Utc>>,
    /// By topic.
    pub topics: Vec<TopicListing>,
    /// The newest ones.
    pub samples: Vec<Sample>,
}

/// The messages of one reason and topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicListing {
    /// The topic.
    pub topic: String,
    /// Messages.
    pub messages: u64,
    /// By partition.
    pub partitions: Vec<PartitionCount>,
}

/// The messages of one reason and partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionCount {
    /// The partition.
    pub partition: i32,
    /// Messages.
    pub messages: u64,
    /// The smallest offset.
    pub from: u64,
    /// The largest.
    pub to: u64,
}

/// A message, to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: u64,
    /// When it came.
    pub archived_at: Option<DateTime<Utc>>,
    /// Whether a replay has made it a row.
    pub replayed: bool,
    /// Its key.
    pub key: Option<Shown>,
    /// Its value.
    pub value: Shown,
}

/// Bytes as they can be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The first of them as text; what cannot be printed is escaped, bytes that are not UTF-8 as `\xff`.
    pub text: String,
    /// How many there are.
    pub bytes: u64,
    /// Whether the text leaves some out.
    pub cut: bool,
}

impl Shown {
    fn of(bytes: &[u8]) -> Shown {
        let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
        let cut = shown.len() < bytes.len();
        let mut text = String::new();
        for chunk in shown.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\'' | '\\' => text.push(character),
                    _ => text.extend(character.escape_debug()),
                }
            }
            // A character that was cut in two is no broken one.
            let is_last = chunk.invalid().as_ptr_range().end == shown.as_ptr_range().end;
            let halved = cut && is_last && std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none());
            if !halved {
                text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
            }
        }
        Shown {
            text,
            bytes: bytes.len() as u64,
            cut,
        }
    }
}

/// Sums up what is in quarantine, with so many samples of each reason.
///
/// # Errors
/// [`LakeError`] where the store fails or a file cannot be read; that there is no quarantine is no error.
pub async fn list(
    lake: &Lake,
    selection: &Selection,
    samples: usize,
    progress: &dyn Progress,
) -> Result<Listing, LakeError> {
    let Some(snapshot) = TableSnapshot::load(lake, QUARANTINE, AsOf::Newest).await? else {
        return Ok(Listing::default());
    };
    let replayed = match TableWriter::open(lake, RAW_EVENTS).await? {
        Some(events) => Replayed::load(lake, events.version(), Unrecorded::LeaveOut).await?,
        None => Replayed::default(),
    };
    let mut reasons: BTreeMap<String, Collected> = BTreeMap::new();
    let total = snapshot.files.len() as u64;
    for (file, read) in snapshot.files.iter().zip(1..) {
        let mut batches = rows::read(lake, file).await?;
        while let Some(batch) = batches
            .try_next()
            .await
            .map_err(|error| rows::unreadable(file, &error))?
        {
            for row in Rows::of(&batch, file)?.iter() {
                if selection.takes(row.topic, row.reason) {
                    if !reasons.contains_key(row.reason) {
                        reasons.insert(row.reason.to_owned(), Collected::default());
                    }
                    if let Some(collected) = reasons.get_mut(row.reason) {
                        let again = replayed.holds(row.topic, row.partition, row.offset);
                        collected.add(&row, again, samples);
                    }
                }
            }
        }
        progress.read(read, total);
    }
    let mut reasons: Vec<ReasonListing> = reasons
        .into_iter()
        .map(|(reason, collected)| collected.listing(reason))
        .collect();
    reasons.sort_by(|a, b| (b.messages, &a.reason).cmp(&(a.messages, &b.reason)));
    Ok(Listing {
        version: snapshot.version,
        messages: reasons.iter().map(|reason| reason.messages).sum(),
        replayed: reasons.iter().map(|reason| reason.replayed).sum(),
        reasons,
    })
}

/// The messages of one reason as they are read.
#[derive(Default)]
struct Collected {
    listing: ReasonListing,
    partitions: BTreeMap<String, BTreeMap<i32, PartitionCount>>,
    /// Sorted, the newest first.
    samples: Vec<Sample>,
}

impl Collected {
    fn add(&mut self, row: &Row<'_>, replayed: bool, samples: usize) {
        let listing = &mut self.listing;
        listing.messages += 1;
        listing.replayed += u64::from(replayed);
        if let Some(time) = row.archived_at {
            listing.first = Some(listing.first.map_or(time, |first| first.min(time)));
            listing.last = Some(listing.last.map_or(time, |last| last.max(time)));
        }
        if !self.partitions.contains_key(row.topic) {
            self.partitions.insert(row.topic.to_owned(), BTreeMap::new());
        }
        if let Some(partitions) = self.partitions.get_mut(row.topic) {
            let count = partitions.entry(row.partition).or_insert(PartitionCount {
                partition: row.partition,
                messages: 0,
                from: row.offset,
                to: row.offset,
            });
            count.messages += 1;
            count.from = count.from.min(row.offset);
            count.to = count.to.max(row.offset);
        }
        let newer = |sample: &Sample| (sample.archived_at, sample.offset) >= (row.archived_at, row.offset);
        let place = self.samples.partition_point(newer);
        if place < samples {
            self.samples.truncate(samples - 1);
            let sample = Sample {
                topic: row.topic.to_owned(),
                partition: row.partition,
                offset: row.offset,
                archived_at: row.archived_at,
                replayed,
                key: row.key.map(Shown::of),
                value: Shown::of(row.value),
            };
            self.samples.insert(place, sample);
        }
    }

    fn listing(self, reason: String) -> ReasonListing {
        let topics = self.partitions.into_iter().map(|(topic, partitions)| TopicListing {
            topic,
            messages: partitions.values().map(|count| count.messages).sum(),
            partitions: partitions.into_values().collect(),
        });
        ReasonListing {
            reason,
            topics: topics.collect(),
            samples: self.samples,
            ..self.listing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_shown_as_text_that_does_a_terminal_no_harm() {
        let shown = |bytes: &[u8]| Shown::of(bytes).text;
        assert_eq!(shown(br#"{"user": "J\u00f6rg"}"#), r#"{"user": "J\u00f6rg"}"#);
        assert_eq!(shown("Jörg 日本".as_bytes()), "Jörg 日本");
        assert_eq!(shown(b"\x1b[31mred\n\0\x7f"), r"\u{1b}[31mred\n\0\u{7f}");
        assert_eq!(shown(b"ok\xff\xfe"), r"ok\xff\xfe");
        assert_eq!(shown("a\u{202e}b".as_bytes()), r"a\u{202e}b");
        assert_eq!(shown(b""), "");
        let long = "é".repeat(SHOWN_BYTES);
        let cut = Shown::of(&long.as_bytes()[1..]);
        assert!(
            cut.cut && cut.text.starts_with(r"\xa9é") && cut.text.ends_with('é'),
            "{cut:?}"
        );
        assert_eq!(cut.bytes, long.len() as u64 - 1);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_the_text_can_be_printed(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let shown = Shown::of(&bytes);
            prop_assert!(shown.text.chars().all(|character| !character.is_control()));
            prop_assert_eq!(shown.bytes, bytes.len() as u64);
        }
    }
}
