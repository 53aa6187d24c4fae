//! `lakebed archive` in a group: members that join, leave, stall and die, and static ones.

use std::path::{Path, PathBuf};

use crate::support::kafka::{Topic, event};
use crate::support::lake::{committed_rows, eventually, held, places};
use crate::support::program::{Running, archive, ended, lakebed, run, signal, start};
use crate::support::unique;

/// A topic, a lake, and members of one group between them.
struct Group {
    topic: Topic,
    folder: tempfile::TempDir,
    name: String,
    sent: usize,
}

impl Group {
    async fn new() -> Group {
        Group {
            topic: Topic::new(4).await,
            folder: tempfile::tempdir().expect("a folder"),
            name: unique("group"),
            sent: 0,
        }
    }

    fn log(&self, member: &str) -> PathBuf {
        self.folder.path().join(member)
    }

    fn said(&self, member: &str, words: &str) -> bool {
        std::fs::read_to_string(self.log(member)).is_ok_and(|log| log.contains(words))
    }

    fn start(&self, member: &str, settings: &[(&str, &str)]) -> Running {
        let mut command = archive(&self.topic.name, self.folder.path().to_str().expect("UTF-8"));
        command.env("KAFKA_GROUP", &self.name).envs(settings.iter().copied());
        start(&mut command, &self.log(member))
    }

    /// Starts a member, and waits until it reads.
    fn joins(&self, member: &str, settings: &[(&str, &str)]) -> Running {
        let running = self.start(member, settings);
        eventually("a member reads", || self.said(member, "reading partitions"));
        running
    }

    /// Sends some more messages.
    fn send(&mut self, messages: usize) {
        let numbers = self.sent as u64..(self.sent + messages) as u64;
        self.topic.send(numbers.map(event));
        self.sent += messages;
    }

    fn all_archived(&self) {
        eventually("all that was sent is archived", || {
            committed_rows(self.folder.path(), "raw_events") >= self.sent as u64
        });
    }

    /// Each message is in the lake once, by the log, by the plain files and by the lake's own records.
    fn proves(&self) {
        assert_eq!(held(self.folder.path()).rows, places(4, self.sent));
        let path = self.folder.path().to_str().expect("UTF-8");
        let proof = run(lakebed(&["verify", "--deep"]).env("DATA_LAKE_PATH", path));
        assert!(proof.contains("Nothing is lost and nothing is doubled"), "{proof}");
    }
}

fn leaves(mut member: Running, log: &Path) {
    signal(&member, "TERM");
    let code = ended(&mut member);
    assert_eq!(code, Some(0), "{}", std::fs::read_to_string(log).unwrap_or_default());
}

async fn members_come_and_go(strategy: &str) {
    let settings = [
        ("KAFKA_PARTITION_ASSIGNMENT_STRATEGY", strategy),
        ("TIMEOUT_SEC", "2"),
        ("KAFKA_SESSION_TIMEOUT_MS", "3000"),
    ];
    let mut group = Group::new().await;
    let first = group.joins("first", &settings);
    group.send(2000);
    group.all_archived();
    let second = group.joins("second", &settings);
    // Not a whole batch for each partition: the first member holds some of it when it stalls.
    group.send(1900);
    signal(&first, "STOP");
    let third = group.joins("third", &settings);
    group.all_archived();
    signal(&first, "CONT");
    group.send(2000);
    group.all_archived();
    eventually("the first member knows that it was superseded", || {
        group.said("first", "the group gave partitions to others")
            || group.said("first", "another member has archived this partition")
    });
    signal(&second, "KILL");
    group.send(1900);
    leaves(third, &group.log("third"));
    // Only the one that had stalled is left.
    group.all_archived();
    group.send(1000);
    group.all_archived();
    leaves(first, &group.log("first"));
    group.proves();
}

#[tokio::test]
async fn members_come_and_go_under_cooperative_assignment() {
    members_come_and_go("cooperative-sticky").await;
}

#[tokio::test]
async fn members_come_and_go_under_eager_assignment() {
    members_come_and_go("range").await;
}

#[tokio::test]
async fn a_static_member_that_was_killed_takes_its_partitions_back_before_its_session_ends() {
    // Much longer than the test waits for anything.
    let settings = [
        ("KAFKA_GROUP_INSTANCE_ID", "archiver-1"),
        ("KAFKA_SESSION_TIMEOUT_MS", "290000"),
    ];
    let mut group = Group::new().await;
    for round in ["first", "second", "third"] {
        let member = group.joins(round, &settings);
        group.send(1000);
        group.all_archived();
        group.send(300);
        signal(&member, "KILL");
    }
    let last = group.joins("last", &settings);
    group.all_archived();
    leaves(last, &group.log("last"));
    group.proves();
}

#[tokio::test]
async fn of_two_members_with_one_static_id_the_older_ends_and_says_why() {
    let settings = [
        ("KAFKA_GROUP_INSTANCE_ID", "archiver-1"),
        ("KAFKA_SESSION_TIMEOUT_MS", "290000"),
    ];
    let mut group = Group::new().await;
    let mut older = group.joins("older", &settings);
    group.send(1300);
    let newer = group.joins("newer", &settings);
    assert_eq!(ended(&mut older), Some(2));
    for words in [
        "error: another archiver joined the group",
        "KAFKA_GROUP_INSTANCE_ID=archiver-1",
        "give each an id of its own",
    ] {
        assert!(group.said("older", words), "no {words:?} in what the older one said");
    }
    group.send(1000);
    group.all_archived();
    leaves(newer, &group.log("newer"));
    group.proves();
}
