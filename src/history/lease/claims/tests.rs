//! The row of claims over a store in a folder, by processes of one machine and of others.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::history::lease::judge::TIME_TO_LIVE;
use crate::lake::faulty::{self, Fault, Trouble};

/// A process of a machine of its own, of which nothing can be seen from here.
fn process(host: &str) -> Process {
    let process = json!({"host": host, "id": 7, "started": 1, "within": host});
    serde_json::from_value(process).expect("a process")
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn claims(&self, host: &str) -> Claims {
        self.claims_through(host, Fault::none())
    }

    fn claims_through(&self, host: &str, fault: Arc<Fault>) -> Claims {
        Claims::new(&faulty::lake(self.folder.path(), fault), process(host))
    }

    fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path().join(FOLDER)).expect("a folder");
        files
            .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
            .collect()
    }
}

fn ours(look: Look) -> Lease {
    match look {
        Look::Ours(lease) => lease,
        Look::Held { holder, .. } => panic!("held by {holder}"),
        Look::NoLake => panic!("claims do not look for a lake"),
    }
}

fn held(look: Look) -> (Holder, bool) {
    match look {
        Look::Ours(_) | Look::NoLake => panic!("it was free"),
        Look::Held { holder, lives } => (holder, lives),
    }
}

#[tokio::test]
async fn one_at_a_time_has_it_and_it_says_who() {
    let place = Place::new();
    let (mut first, mut second) = (place.claims("first"), place.claims("second"));
    let lease = ours(first.look().await.expect("a look"));
    let (holder, lives) = held(second.look().await.expect("a look"));
    assert_eq!(holder.who.as_deref(), Some("process 7 on first"));
    assert!(holder.since.is_some_and(|since| since <= Utc::now()) && !lives);
    lease.release().await;
    let lease = ours(second.look().await.expect("a look"));
    assert_eq!(
        held(first.look().await.expect("a look")).0.who.as_deref(),
        Some("process 7 on second")
    );
    lease.release().await;
    assert_eq!(place.files().len(), 1, "{:?}", place.files());
}

#[tokio::test]
async fn a_holder_that_renews_is_seen_to_live() {
    let place = Place::new();
    let (mut first, mut second) = (place.claims("first"), place.claims("second"));
    let lease = ours(first.look().await.expect("a look"));
    let begun = Instant::now();
    while !held(second.look().await.expect("a look")).1 {
        assert!(begun.elapsed() < TIME_TO_LIVE, "it is not seen to be renewed");
        tokio::time::sleep(RENEWAL / 50).await;
    }
    lease.release().await;
}

#[tokio::test]
async fn a_dead_holder_loses_it_after_its_time_and_one_of_this_machine_at_once() {
    let place = Place::new();
    let (mut dead, mut next) = (place.claims("first"), place.claims("second"));
    let Look::Ours(lease) = dead.look().await.expect("a look") else {
        panic!("it was free");
    };
    lease.keeper.abort();
    held(next.look().await.expect("a look"));
    // As if it had been watched for as long as a claim stands.
    let (number, _, lease) = next.seen.expect("seen");
    let since = Instant::now().checked_sub(TIME_TO_LIVE).expect("a time");
    next.seen = Some((number, since, lease));
    ours(next.look().await.expect("a look")).keeper.abort();

    let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
    let mut of_child = serde_json::to_value(Process::this()).expect("JSON");
    of_child["id"] = child.id().into();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("there");
    of_child["started"] = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().nth(19)?.parse::<u64>().ok())
        .into();
    let place = Place::new();
    let mut neighbour = place.claims("");
    neighbour.process = serde_json::from_value(of_child).expect("a process");
    ours(neighbour.look().await.expect("a look")).keeper.abort();
    let mut next = place.claims("");
    next.process = Process::this();
    let (_, lives) = held(next.look().await.expect("a look"));
    assert!(lives, "it is there, and has claimed just now");
    child.kill().expect("killed");
    child.wait().expect("ended");
    ours(next.look().await.expect("a look")).keeper.abort();
    // What this process could not give back does not stand in its own way.
    let mut again = place.claims("");
    again.process = Process::this();
    ours(again.look().await.expect("a look")).keeper.abort();
}

#[tokio::test]
async fn what_is_no_claim_is_watched_like_one() {
    let place = Place::new();
    let folder = place.folder.path().join(FOLDER);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("{:020}.json", 3)), "no claim").expect("a file");
    std::fs::write(folder.join("notes.txt"), "not ours").expect("a file");
    let mut next = place.claims("next");
    let (holder, lives) = held(next.look().await.expect("a look"));
    assert_eq!(
        (holder.to_string().as_str(), lives),
        ("a process that is not known", false)
    );
    let (number, _, lease) = next.seen.expect("seen");
    let since = Instant::now().checked_sub(TIME_TO_LIVE).expect("a time");
    next.seen = Some((number, since, lease));
    ours(next.look().await.expect("a look")).release().await;
    let mut files = place.files();
    files.sort();
    assert_eq!(files, [format!("{:020}.json", 5), "notes.txt".to_owned()]);
}

#[tokio::test]
async fn a_slow_writer_does_not_take_what_others_have_had_meanwhile() {
    let place = Place::new();
    let (mut third, slow) = (place.claims("third"), place.claims("slow"));
    let claim = |host: &str| Claim {
        lease: Uuid::now_v7(),
        process: process(host),
        since: Utc::now(),
        given_back: false,
    };
    assert_eq!(slow.put(4, &claim("before")).await.expect("put"), Some(4));
    // The slow one has looked, and is to put number 5; others put 5 and 6 and deleted 5 again.
    assert_eq!(slow.put(6, &claim("first")).await.expect("put"), Some(6));
    assert_eq!(slow.put(5, &claim("slow")).await.expect("put"), None);
    let (holder, _) = held(third.look().await.expect("a look"));
    assert_eq!(holder.who.as_deref(), Some("process 7 on first"));
    assert_eq!(place.files().len(), 1, "{:?}", place.files());
}

#[tokio::test]
async fn whichever_call_of_the_store_fails_no_two_have_it_and_it_comes_free() {
    for trouble in [Trouble::Refused, Trouble::AnswerLost] {
        for nth in 0.. {
            let fault = Fault::at(nth, trouble);
            let place = Place::new();
            let (mut first, mut second) = (
                place.claims_through("first", Arc::clone(&fault)),
                place.claims("second"),
            );
            let first_has = match first.look().await {
                Ok(look) => Some(ours(look)),
                Err(_) => None,
            };
            match (second.look().await.expect("a look"), &first_has) {
                (Look::Ours(_), Some(_)) => panic!("{trouble:?} {nth}: two have it"),
                (Look::Ours(lease), None) => lease.release().await,
                (Look::Held { .. } | Look::NoLake, _) => {}
            }
            if let Some(lease) = first_has {
                lease.release().await;
            }
            let look = second.look().await.expect("a look");
            if let Look::Held { .. } = look {
                // What nobody gave back is free once it has stood for its time.
                let (number, _, lease) = second.seen.expect("seen");
                let since = Instant::now().checked_sub(TIME_TO_LIVE).expect("a time");
                second.seen = Some((number, since, lease));
                ours(second.look().await.expect("a look")).release().await;
            }
            if !fault.came() {
                assert!(nth >= 3, "calls are counted");
                break;
            }
        }
    }
}
