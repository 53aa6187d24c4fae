//! Archivers under a schedule of kills, stalls and disturbed connections that is drawn from a seed; afterwards each
//! message must be found exactly once.
//!
//! The suite runs a few fixed seeds; `LAKEBED_TORTURE_SEEDS=FIRST-LAST` names others (`just torture N`).

mod schedule;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::schedule::{Action, Link, Message, Schedule};
use crate::support::kafka::Topic;
use crate::support::lake::{Held, bucket_lake, fetch, held, place_of};
use crate::support::parallel;
use crate::support::program::{Running, archive, has_ended, lakebed, run, signal, start, terminate, with_store};
use crate::support::toxiproxy::Proxy;

/// The suite's seeds. In the even ones messages are doubled where nothing fences off what a member commits late.
const FIXED: [u64; 5] = [23, 402, 408, 705, 736];
/// As many as Kafka has listeners behind proxies.
const AT_ONCE: usize = 4;
/// What a member may take, when all is well again, to archive what it has read and leave.
const LEAVE_WAIT: Duration = Duration::from_secs(120);

#[test]
fn whatever_a_seed_does_to_the_archivers_each_message_is_there_once() {
    parallel::each(seeds(), AT_ONCE, |seed| {
        let kept = Kept::new(Schedule::of(seed));
        let begun = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let messages = runtime.block_on(torment(&kept));
        let seconds = begun.elapsed().as_secs();
        eprintln!("seed {seed}: {messages} messages, each there once, after {seconds} s");
    });
}

/// What is needed to understand a failure; it goes where there is none.
struct Kept {
    schedule: Schedule,
    lake: String,
    folder: PathBuf,
}

impl Kept {
    fn new(schedule: Schedule) -> Kept {
        let folder = tempfile::Builder::new()
            .prefix(&format!("torture-{}-", schedule.seed))
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a folder")
            .keep();
        Kept {
            schedule,
            lake: bucket_lake(),
            folder,
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (folder, lake, schedule) = (self.folder.display(), &self.lake, &self.schedule);
            eprintln!(
                "seed {} failed; the lake is {lake}, the members' logs are in {folder}, and this happened: {schedule:#?}",
                schedule.seed
            );
        } else {
            std::fs::remove_dir_all(&self.folder).expect("the folder goes");
        }
    }
}

/// The seeds to run: `FIRST-LAST`, or the suite's own.
fn seeds() -> Vec<u64> {
    let Ok(range) = std::env::var("LAKEBED_TORTURE_SEEDS") else {
        return FIXED.to_vec();
    };
    let bounds = range.split_once('-').unwrap_or((&range, &range));
    let bound = |text: &str| -> u64 { text.parse().expect("LAKEBED_TORTURE_SEEDS is FIRST-LAST, two numbers") };
    (bound(bounds.0)..=bound(bounds.1)).collect()
}

/// Runs a schedule to its end and looks for every message; how many there are.
async fn torment(kept: &Kept) -> u64 {
    let Kept { schedule, lake, folder } = kept;
    let topic = Topic::new(schedule.partitions).await;
    let mut place = Place {
        schedule,
        lake,
        folder,
        topic: &topic,
        kafka: Proxy::of_kafka().await,
        members: Vec::new(),
        sent: 0,
    };
    for _ in &schedule.batch_sizes {
        place.members.push(Member {
            store: Proxy::of_store().await,
            running: None,
            leaving: Vec::new(),
        });
    }
    let begun = tokio::time::Instant::now();
    for step in &schedule.steps {
        tokio::time::sleep_until(begun + Duration::from_millis(step.at)).await;
        place.act(step.action).await;
    }
    place.heal_and_leave().await;
    let sent = place.sent;
    place.kafka.remove().await;
    for member in place.members {
        member.store.remove().await;
    }

    run(archive(&topic.name, lake).env("BATCH_SIZE", "50").arg("--until-end"));
    check(kept, sent).await;
    sent
}

/// What a schedule acts upon.
struct Place<'a> {
    schedule: &'a Schedule,
    lake: &'a str,
    folder: &'a Path,
    topic: &'a Topic,
    kafka: Proxy,
    members: Vec<Member>,
    sent: u64,
}

struct Member {
    store: Proxy,
    running: Option<Running>,
    /// Processes that were told to leave.
    leaving: Vec<Running>,
}

impl Place<'_> {
    async fn act(&mut self, action: Action) {
        match action {
            Action::Send(each) => self.send(each),
            Action::Start(member) => self.start(member),
            // Dropped, it is killed and waited for.
            Action::Kill(member) => drop(self.take(member)),
            Action::Stop(member) => self.stop(member),
            Action::Stall(member) => self.send_signal(member, "STOP"),
            Action::Resume(member) => self.send_signal(member, "CONT"),
            Action::Disturb(link, toxic, stream, percent) => self.proxy(link).disturb(toxic, stream, percent).await,
            Action::Cut(link) => self.proxy(link).cut().await,
            Action::Heal(link) => self.proxy(link).heal().await,
        }
    }

    fn proxy(&self, link: Link) -> &Proxy {
        match link {
            Link::Kafka => &self.kafka,
            Link::Store(member) => &self.members[member].store,
        }
    }

    fn send(&mut self, each: u64) {
        // The same number into each partition, so that a message's place follows from its number.
        let numbers = self.sent..self.sent + each * self.schedule.partitions as u64;
        self.sent = numbers.end;
        self.topic
            .send(numbers.map(|number| Message::of(self.schedule.seed, number).value()));
    }

    fn start(&mut self, number: usize) {
        let member = &mut self.members[number];
        if self.schedule.static_members {
            // Two processes with one name are another story.
            member.leaving.clear();
        }
        let mut command = archive(&self.topic.name, self.lake);
        if number > 0 || !self.schedule.first_is_direct {
            command.env("KAFKA_BROKERS", &self.kafka.address);
        }
        command
            .env("AWS_ENDPOINT_URL", format!("http://{}", member.store.address))
            .env("KAFKA_GROUP", format!("{}-group", self.topic.name))
            .env("KAFKA_SESSION_TIMEOUT_MS", self.schedule.session_ms.to_string())
            .env("BATCH_SIZE", self.schedule.batch_sizes[number].to_string())
            .env("MEMORY_BUDGET_MB", "128");
        if self.schedule.eager {
            command.env("KAFKA_PARTITION_ASSIGNMENT_STRATEGY", "range");
        }
        if self.schedule.static_members {
            command.env("KAFKA_GROUP_INSTANCE_ID", format!("member-{number}"));
        }
        member.running = Some(start(&mut command, &log(self.folder, number)));
    }

    fn stop(&mut self, member: usize) {
        let leaving = self.take(member);
        terminate(&leaving);
        self.members[member].leaving.push(leaving);
    }

    fn send_signal(&mut self, member: usize, name: &str) {
        let running = self.take(member);
        signal(&running, name);
        self.members[member].running = Some(running);
    }

    /// The process of a member, which runs: nothing that happens may end it by itself.
    fn take(&mut self, member: usize) -> Running {
        let mut running = self.members[member]
            .running
            .take()
            .expect("the schedule has started it");
        let ended = has_ended(&mut running);
        assert_eq!(ended, None, "member {member} ended by itself");
        running
    }

    /// Puts everything right, and tells all members to leave: they must, with all that they had read archived.
    async fn heal_and_leave(&mut self) {
        self.kafka.heal().await;
        for member in &self.members {
            member.store.heal().await;
        }
        for member in 0..self.members.len() {
            self.stop(member);
        }
        let begun = Instant::now();
        for (number, member) in self.members.iter_mut().enumerate() {
            for leaving in &mut member.leaving {
                while has_ended(leaving).is_none() {
                    assert!(begun.elapsed() < LEAVE_WAIT, "member {number} does not end");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                assert_eq!(has_ended(leaving), Some(Some(0)), "member {number}'s end");
            }
            let log = std::fs::read_to_string(log(self.folder, number)).unwrap_or_default();
            assert!(!log.contains("panicked"), "member {number} panicked");
        }
    }
}

fn log(folder: &Path, member: usize) -> PathBuf {
    folder.join(format!("member-{member}.log"))
}

/// Each message exactly once: by the program's own proof, and by readers that are not ours, over the log and over the
/// plain files.
async fn check(kept: &Kept, sent: u64) {
    let Kept { schedule, lake, folder } = kept;
    let copy = folder.join("lake");
    fetch(lake, &copy).await;
    let mut expected = Held {
        rows: BTreeSet::new(),
        quarantined: BTreeSet::new(),
    };
    for number in 0..sent {
        let place = place_of(schedule.partitions, number);
        match Message::of(schedule.seed, number) {
            Message::Row(_) => drop(expected.rows.insert(place)),
            Message::Broken(_) => drop(expected.quarantined.insert(place)),
            Message::Tombstone => {}
        }
    }
    let found = held(&copy);
    let lost = |expected: &BTreeSet<_>, found: &BTreeSet<_>| -> Vec<(i64, i64)> {
        expected.symmetric_difference(found).copied().collect()
    };
    assert_eq!(lost(&expected.rows, &found.rows), [], "rows lost or invented");
    assert_eq!(
        lost(&expected.quarantined, &found.quarantined),
        [],
        "quarantine lost or invented"
    );

    let mut command = lakebed(&["verify", "--deep", "--format", "json"]);
    with_store(&mut command);
    let report: Value = serde_json::from_str(&run(command.env("DATA_LAKE_PATH", lake))).expect("JSON");
    let sum = |name: &str| -> u64 {
        let partitions = report["partitions"].as_array().expect("partitions");
        partitions.iter().filter_map(|partition| partition[name].as_u64()).sum()
    };
    let (rows, quarantined) = (expected.rows.len() as u64, expected.quarantined.len() as u64);
    assert_eq!(
        (sum("rows"), sum("quarantined"), sum("tombstones")),
        (rows, quarantined, sent - rows - quarantined),
        "{report}"
    );
}
