//! The lines of an input into the topic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::deliver::Delivery;
use super::{Input, Line, ProduceError, recognise};

/// What was fed into the topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ProduceReport {
    /// Lines that were read.
    pub lines: u64,
    /// Messages that all in-sync replicas acknowledged.
    pub delivered: u64,
    /// Wikimedia's canary events, which are left out.
    pub canaries: u64,
}

/// Sends each line of the input that is a message, at most `rate` a second, until the input ends or `stop` is set;
/// then waits for all acknowledgements. `progress` is told the bytes read so far.
///
/// # Errors
/// [`ProduceError`]; what an input gave before it failed is delivered.
pub fn feed(
    input: &mut Input,
    delivery: Delivery,
    rate: Option<u32>,
    stop: &AtomicBool,
    progress: &dyn Fn(u64),
) -> Result<ProduceReport, ProduceError> {
    let mut report = ProduceReport::default();
    let read = send_lines(input, &delivery, rate, stop, progress, &mut report);
    report.delivered = delivery.finish()?;
    read.map(|()| report)
}

fn send_lines(
    input: &mut Input,
    delivery: &Delivery,
    rate: Option<u32>,
    stop: &AtomicBool,
    progress: &dyn Fn(u64),
    report: &mut ProduceReport,
) -> Result<(), ProduceError> {
    let begun = Instant::now();
    let mut sent: u64 = 0;
    while !stop.load(Ordering::Relaxed) && !delivery.has_failed() {
        let Some(line) = input.next_line()? else {
            break;
        };
        report.lines += 1;
        match recognise(line) {
            Line::Message(value) => {
                delivery.send(None, Some(&value))?;
                sent += 1;
            }
            Line::Canary => report.canaries += 1,
            Line::Position(_) | Line::Blank => {}
        }
        if let Some(rate) = rate {
            delivery.serve(begun + Duration::from_secs(sent) / rate);
        }
        if sent.is_multiple_of(1000) {
            delivery.serve(Instant::now());
            progress(input.consumed());
        }
    }
    Ok(())
}
