//! Where the reading thread begins to read each partition, and what it does where Kafka no longer has what comes next.

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::Utc;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::Offset;

use super::Source;
use crate::archive::ArchiveError;
use crate::archive::committer::Resume;
use crate::archive::flush::Cause;
use crate::archive::group;
use crate::archive::loss::{Loss, Verdict};
use crate::archive::starts::{self, Judged};
use crate::monitor;

impl Source<'_> {
    /// Answers an assignment: reads its partitions from the lake's marks on.
    pub(super) fn begin(&mut self, resumes: BTreeMap<i32, Resume>) -> Result<(), ArchiveError> {
        let marks: BTreeMap<i32, i64> = resumes
            .iter()
            .map(|(partition, resume)| (*partition, resume.mark))
            .collect();
        let Some(judged) = self.judge(&marks)? else {
            self.ask_again(marks.into_keys().collect());
            return Ok(());
        };
        for (partition, mark) in &marks {
            let end = self.ends.as_ref().and_then(|ends| ends.get(partition)).unwrap_or(mark);
            self.total += u64::try_from(end - mark).unwrap_or_default();
        }
        tracing::info!(topic = %self.job.kafka.topic, from = ?marks, "reading partitions from the lake's marks");
        if !std::mem::take(&mut self.assigned) {
            return self.read_judged(resumes, &judged);
        }
        let mut offsets = BTreeMap::new();
        for (partition, resume) in resumes {
            let start = self.start(partition, resume, judged.get(&partition));
            offsets.insert(partition, start.map_or(Offset::End, Offset::Offset));
        }
        monitor::archiver().begins(&marks);
        let (read, unread): (Vec<_>, Vec<_>) = offsets
            .iter()
            .map(|(partition, offset)| (*partition, *offset))
            .partition(|(partition, _)| !self.paused && !self.halted.contains(*partition));
        let (read, unread) = (self.list(read.into_iter())?, self.list(unread.into_iter())?);
        let list = self.list(offsets.into_iter())?;
        group::take(&mut self.member, &list).map_err(|error| self.fault("take assigned partitions", &error))?;
        // One that is given back while it is paused comes back paused.
        self.member
            .resume(&read)
            .and_then(|()| self.member.pause(&unread))
            .map_err(|error| self.fault("pause partitions", &error))
    }

    /// Goes back to the lake's marks in partitions that others had read on, or that Kafka had nothing of.
    pub(super) fn begin_anew(&mut self, resumes: BTreeMap<i32, Resume>) -> Result<(), ArchiveError> {
        let marks = resumes
            .iter()
            .map(|(partition, resume)| (*partition, resume.mark))
            .collect();
        let Some(judged) = self.judge(&marks)? else {
            self.resets.extend(marks.into_keys());
            return Ok(());
        };
        self.read_judged(resumes, &judged)
    }

    /// Takes assigned partitions of which it is not known yet where to begin.
    pub(super) fn take_unread(&mut self, partitions: &[i32]) -> Result<(), ArchiveError> {
        tracing::warn!(
            ?partitions,
            "the lake does not say where to begin; the partitions are taken, and wait for it"
        );
        let list = self.list(partitions.iter().map(|partition| (*partition, Offset::End)))?;
        group::take(&mut self.member, &list).map_err(|error| self.fault("take assigned partitions", &error))?;
        self.member
            .pause(&list)
            .map_err(|error| self.fault("pause partitions", &error))
    }

    /// Reads partitions that this member has from where they were judged to begin.
    fn read_judged(
        &mut self,
        resumes: BTreeMap<i32, Resume>,
        judged: &BTreeMap<i32, Judged>,
    ) -> Result<(), ArchiveError> {
        for (partition, resume) in resumes {
            self.halted.remove(partition);
            if let Some(offset) = self.start(partition, resume, judged.get(&partition)) {
                monitor::archiver().begins([(&partition, &offset)]);
                self.restart(partition, offset)?;
            }
        }
        Ok(())
    }

    /// Begins to read a partition as it was judged; the offset to read from, none where it is not read.
    fn start(&mut self, partition: i32, resume: Resume, judged: Option<&Judged>) -> Option<i64> {
        let judged = judged?;
        self.known_ends.insert(partition, judged.end);
        match judged.verdict {
            Verdict::Read => {
                self.buffer.begin(partition, resume.mark, resume.quarantined);
                Some(resume.mark)
            }
            Verdict::Gap(until) => {
                self.buffer.begin(partition, resume.mark, resume.quarantined);
                self.lose(partition, until);
                Some(until)
            }
            Verdict::Anew => None,
            Verdict::Halt(loss) => {
                self.halted.add(&self.job.kafka.topic, partition, loss, Instant::now());
                None
            }
        }
    }

    /// Finds out of which partitions Kafka has dropped what comes next.
    pub(super) fn doubt(&mut self) -> Result<(), ArchiveError> {
        let positions: BTreeMap<i32, i64> = self
            .buffer
            .positions()
            .filter(|(partition, _)| !self.halted.contains(*partition))
            .collect();
        let Some(judged) = self.judge(&positions)? else {
            return Ok(());
        };
        let verdicts: BTreeMap<i32, Verdict> = judged
            .iter()
            .map(|(partition, judged)| (*partition, judged.verdict))
            .collect();
        self.doubtful = false;
        if verdicts
            .values()
            .any(|verdict| *verdict == Verdict::Halt(Loss::MadeAnew))
        {
            return self.halt_all();
        }
        // What was read is not in Kafka any more: it must not be dropped and read again.
        self.cut(Cause::Loss);
        if verdicts.values().all(|verdict| *verdict == Verdict::Read) {
            self.resets.extend(positions.into_keys());
            return Ok(());
        }
        for (partition, verdict) in verdicts {
            match verdict {
                Verdict::Read | Verdict::Anew => {}
                Verdict::Gap(until) => {
                    self.lose(partition, until);
                    self.restart(partition, until)?;
                }
                Verdict::Halt(loss) => self.halted.add(&self.job.kafka.topic, partition, loss, Instant::now()),
            }
        }
        Ok(())
    }

    /// What is read is of another topic under the same name: nothing of it may land.
    pub(super) fn halt_all(&mut self) -> Result<(), ArchiveError> {
        if self.job.accept_loss {
            return Err(ArchiveError::Anew);
        }
        let all: Vec<i32> = self.buffer.positions().map(|(partition, _)| partition).collect();
        self.buffer.end(&all)?;
        for partition in &all {
            self.halted
                .add(&self.job.kafka.topic, *partition, Loss::MadeAnew, Instant::now());
        }
        let list = self.list(all.iter().map(|partition| (*partition, Offset::Invalid)))?;
        self.member
            .pause(&list)
            .map_err(|error| self.fault("pause partitions", &error))
    }

    /// Records that Kafka dropped what comes next of a partition, up to before `until`.
    fn lose(&mut self, partition: i32, until: i64) {
        self.cut(Cause::Loss);
        if let Some(flush) = self.buffer.lose(partition, until, Utc::now()) {
            tracing::warn!(topic = %self.job.kafka.topic, partition, offsets = ?flush.covered.get(&partition).map(|lost| &lost.offsets), "Kafka dropped offsets before they were archived; the gap is recorded in the lake, and reading goes on behind it");
            self.send_flush(flush);
        }
    }

    /// Reads a partition from an offset on, unless the lake takes nothing at present; then it is paused there.
    fn restart(&mut self, partition: i32, offset: i64) -> Result<(), ArchiveError> {
        let list = self.list(std::iter::once((partition, Offset::Offset(offset))))?;
        let restarted = group::restart(&mut self.member, &list)
            .and_then(|()| match self.paused {
                true => self.member.pause(&list),
                false => self.member.resume(&list),
            })
            .map_err(|error| self.fault("read from another offset", &error));
        if self.unless_it_passes(restarted)?.is_none() {
            self.resets.insert(partition);
        }
        Ok(())
    }

    /// What to do with partitions of which these offsets come next; none where Kafka does not say at present.
    fn judge(&mut self, next: &BTreeMap<i32, i64>) -> Result<Option<BTreeMap<i32, Judged>>, ArchiveError> {
        let judged = starts::judge(&self.topic.probe, self.topic.settled.id, next, self.job.accept_loss);
        let judged = self.unless_it_passes(judged)?;
        if judged
            .iter()
            .flat_map(BTreeMap::values)
            .any(|judged| judged.verdict == Verdict::Anew)
        {
            return Err(ArchiveError::Anew);
        }
        Ok(judged)
    }
}
