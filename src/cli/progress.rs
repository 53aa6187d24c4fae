//! Progress bars on a terminal's stderr; nothing where stderr is no terminal.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::archive::{ArchiveReport, Progress};
use crate::history::Step;
use crate::lake::counted::Counts;
use crate::quality;

/// How often what a run is about is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// A bar for an archiver.
pub struct ArchiveBar(ProgressBar);

impl ArchiveBar {
    /// A bar that shows itself with the first figures.
    pub fn new() -> ArchiveBar {
        ArchiveBar(ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()))
    }
}

impl Progress for ArchiveBar {
    fn archived(&self, report: &ArchiveReport, total: Option<u64>) {
        if let Some(total) = total {
            show(&self.0, total);
            self.0.set_position(report.messages.min(total));
        }
    }
}

impl Drop for ArchiveBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar of the files that a proof reads.
pub struct FileBar(ProgressBar);

impl FileBar {
    /// A bar that shows itself with the first file.
    pub fn new() -> FileBar {
        FileBar(ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()))
    }
}

impl quality::Progress for FileBar {
    fn read(&self, files: u64, total: u64) {
        show(&self.0, total);
        self.0.set_position(files);
    }
}

impl Drop for FileBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// What a run is about, and the data files and bytes that it has read so far.
pub struct RunBar(ProgressBar);

impl RunBar {
    /// A bar that shows itself with the first step, over what a lake's store counts.
    pub fn new(counts: Arc<Counts>) -> RunBar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let read = move |_: &ProgressState, out: &mut dyn Write| {
            let opened = counts.opened();
            // Where a line of a terminal cannot be written to, nothing can be said.
            let _ = write!(
                out,
                "{} files, {}",
                HumanCount(opened.files),
                HumanBytes(opened.bytes_read)
            );
        };
        let style = ProgressStyle::with_template("{spinner} {msg}  {read}  {elapsed}");
        bar.set_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_spinner())
                .with_key("read", read),
        );
        RunBar(bar)
    }

    /// Says what comes next, and lets a line of the log pass.
    pub fn turn_to(&self, step: &Step, log: impl FnOnce()) {
        let next = match step {
            Step::Reading { files, .. } => format!("summing up what is new in {} files", HumanCount(*files as u64)),
            Step::Summed { events, .. } => format!("computing the tables of {} events", HumanCount(*events)),
            Step::Publishing { .. } => "publishing".to_owned(),
            _ => self.0.message(),
        };
        self.0.suspend(log);
        if self.0.is_hidden() {
            self.0.set_draw_target(ProgressDrawTarget::stderr());
            self.0.enable_steady_tick(TICK);
        }
        self.0.set_message(next);
    }
}

impl Drop for RunBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar of `total` units, drawn where stderr is a terminal.
pub fn show(bar: &ProgressBar, total: u64) {
    if bar.is_hidden() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len}  {per_sec}  {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    }
    bar.set_length(total);
}

/// A bar of the bytes read of an input; of unknown length, it counts them.
pub fn bytes_bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{bar:40} {bytes}/{total_bytes}  {bytes_per_sec}  {elapsed}",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {bytes}  {bytes_per_sec}  {elapsed}",
        ),
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
