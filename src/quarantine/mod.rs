//! What is in quarantine, and how it becomes rows after all.
//!
//! [`list()`] sums up what is there by reason. [`replay()`] archives what now decodes into raw_events, exactly once: a
//! replayed row keeps its partition and offset, its message stays in the quarantine as it is, and [`replayed`] tells the
//! two apart from a message that is there twice.

mod list;
mod replay;
mod replayed;
mod rows;

pub use list::{Listing, PartitionCount, ReasonListing, Sample, Shown, TopicListing, list};
pub use replay::{ReasonCount, ReplayJob, ReplayReport, replay};

use crate::event::Reason;

/// Which messages of the quarantine are meant; an empty list means all.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The reasons.
    pub reasons: Vec<Reason>,
    /// The topics.
    pub topics: Vec<String>,
}

impl Selection {
    fn takes(&self, topic: &str, reason: &str) -> bool {
        let of_reason = self.reasons.is_empty() || self.reasons.iter().any(|chosen| chosen.as_str() == reason);
        of_reason && (self.topics.is_empty() || self.topics.iter().any(|chosen| chosen == topic))
    }
}
