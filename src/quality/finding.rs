//! What can be wrong with an archive, and where.

use std::fmt;

use serde::Serialize;

/// Ranges of offsets that a text shows of one partition; JSON has them all.
const SHOWN_RANGES: usize = 5;
/// Files that a text shows of one finding; JSON has them all.
const SHOWN_FILES: usize = 5;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub finding: FindingKind,
    /// The offsets that it is about, as far as they are known.
    pub places: Vec<Place>,
    /// The files that it is about.
    pub files: Vec<String>,
    /// How many there should be: rows, messages or bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<u64>,
    /// How many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// What more there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Offsets of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Ranges, each from its first to its last offset.
    pub offsets: Vec<[i64; 2]>,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A file that the table's log names is not there.
    MissingFile,
    /// A file has another size than was written.
    FileSize,
    /// A file holds other bytes than were written.
    FileChanged,
    /// A file cannot be read.
    UnreadableFile,
    /// A file without a ledger: another writer's.
    ForeignFile,
    /// A Parquet file in the table's folder that the log does not name and lakebed did not write.
    StrayFile,
    /// A ledger that cannot be true.
    BadLedger,
    /// No flush covers these offsets.
    Gap,
    /// More than one flush covers these offsets.
    Overlap,
    /// The lake holds more than its mark says is archived.
    BeyondMark,
    /// The lake holds more than its first mark says was ever read.
    BeforeFirst,
    /// A flush's files hold another number of rows than it archived, by the table's log.
    FlushRows,
    /// A file holds another number of rows than the table's log says.
    FileRows,
    /// The quarantine holds fewer messages than went there, by the table's log.
    QuarantineRows,
    /// A range holds another number of rows than were archived of it.
    Rows,
    /// A range has another number of messages in quarantine than went there.
    Quarantined,
    /// A message is in one table more than once.
    Duplicate,
    /// A message is a row and in quarantine, and no replay made it a row.
    RowAndQuarantined,
    /// A file holds messages that it does not claim, or the quarantine some that no flush sent there.
    Unclaimed,
    /// Two replays made a row of the same message.
    ReplayedTwice,
    /// A replay made a row of a message that is not in quarantine.
    ReplayedUnknown,
    /// Kafka has dropped messages before they were archived.
    Dropped,
    /// The same, and the archiver was told to go on behind them, which it recorded.
    Lost,
}

impl FindingKind {
    /// The kind in words, as a heading above findings.
    pub fn title(self) -> &'static str {
        match self {
            FindingKind::MissingFile => "missing files, which the table's log names",
            FindingKind::FileSize => "files of another size than was written",
            FindingKind::FileChanged => "files whose bytes are not those that were written",
            FindingKind::UnreadableFile => "files that cannot be read",
            FindingKind::ForeignFile => "foreign files, without a ledger: another writer made or rewrote them",
            FindingKind::StrayFile => {
                "stray files, which are not in the table's log and not lakebed's; readers of plain files see their rows"
            }
            FindingKind::BadLedger => "ledgers that cannot be true",
            FindingKind::Gap => "gaps: offsets that no flush covers",
            FindingKind::Overlap => "overlaps: offsets that more than one flush covers",
            FindingKind::BeyondMark => "beyond the mark: files cover offsets that the mark says are not archived yet",
            FindingKind::BeforeFirst => {
                "before the first mark: files cover offsets from before the archive is said to begin"
            }
            FindingKind::FlushRows => "flushes whose files hold another number of rows than were archived",
            FindingKind::FileRows => "files that hold another number of rows than the table's log says",
            FindingKind::QuarantineRows => "quarantine: it holds fewer messages than went there",
            FindingKind::Rows => "rows: a range holds another number than were archived",
            FindingKind::Quarantined => "quarantined: a range has another number of messages there than went there",
            FindingKind::Duplicate => "duplicates: messages that are there more than once",
            FindingKind::RowAndQuarantined => {
                "messages that are rows and in quarantine too, and that no replay made rows"
            }
            FindingKind::Unclaimed => "unclaimed: messages that are there and that no flush says it archived",
            FindingKind::ReplayedTwice => "messages that two replays made rows",
            FindingKind::ReplayedUnknown => "messages that a replay made rows and that are not in quarantine",
            FindingKind::Lost => "lost: offsets that Kafka dropped before they were archived, as the archiver recorded",
            FindingKind::Dropped => "dropped: offsets that Kafka no longer has and that were never archived",
        }
    }
}

impl Finding {
    /// A finding of this kind, about nothing yet.
    pub fn new(finding: FindingKind) -> Finding {
        Finding {
            finding,
            places: Vec::new(),
            files: Vec::new(),
            recorded: None,
            held: None,
            reason: None,
        }
    }

    /// About these files too.
    #[must_use]
    pub fn files(mut self, files: impl IntoIterator<Item = String>) -> Finding {
        for file in files {
            if !self.files.contains(&file) {
                self.files.push(file);
            }
        }
        self
    }

    /// About these offsets too.
    #[must_use]
    pub fn at(mut self, topic: &str, partition: i32, offsets: Vec<[i64; 2]>) -> Finding {
        self.places.push(Place {
            topic: topic.to_owned(),
            partition,
            offsets,
        });
        self
    }

    /// About these places too.
    #[must_use]
    pub fn places(mut self, places: Vec<Place>) -> Finding {
        self.places.extend(places);
        self
    }

    /// With the number that should be there and the one that is.
    #[must_use]
    pub fn counts(mut self, recorded: u64, held: u64) -> Finding {
        (self.recorded, self.held) = (Some(recorded), Some(held));
        self
    }

    /// With a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Finding {
        self.reason = Some(reason.into());
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)?;
        for (index, [from, to]) in self.offsets.iter().take(SHOWN_RANGES).enumerate() {
            let before = if index == 0 { " " } else { ", " };
            match from == to {
                true => write!(f, "{before}{from}")?,
                false => write!(f, "{before}{from} to {to}")?,
            }
        }
        match self.offsets.len().saturating_sub(SHOWN_RANGES) {
            0 => Ok(()),
            more => write!(f, " and {more} more ranges"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.places.iter().take(SHOWN_FILES).map(Place::to_string).collect();
        let mut parts = Vec::new();
        if !places.is_empty() {
            let more = self.places.len().saturating_sub(SHOWN_FILES);
            let more = if more > 0 {
                format!("; {more} more partitions")
            } else {
                String::new()
            };
            parts.push(format!("{}{more}", places.join("; ")));
        }
        if let (Some(recorded), Some(held)) = (self.recorded, self.held) {
            parts.push(format!("{recorded} recorded, {held} there"));
        }
        parts.extend(self.reason.clone());
        if !self.files.is_empty() {
            let more = self.files.len().saturating_sub(SHOWN_FILES);
            let more = if more > 0 {
                format!(" and {more} more files")
            } else {
                String::new()
            };
            let shown: Vec<&str> = self.files.iter().take(SHOWN_FILES).map(String::as_str).collect();
            parts.push(format!("{}{more}", shown.join(", ")));
        }
        f.write_str(&parts.join(": "))
    }
}
