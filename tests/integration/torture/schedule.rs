//! What is done to the archivers of one seed, and when: drawn from the seed and from nothing else.

use lakebed::demo::random::Random;

use crate::support::toxiproxy::{Stream, Toxic};

/// All that happens in one seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub seed: u64,
    pub partitions: i32,
    /// How long the group waits for a silent member.
    pub session_ms: u64,
    /// Whether members keep their names over restarts.
    pub static_members: bool,
    /// Whether the group takes all partitions from all members at each change, and not only those that move.
    pub eager: bool,
    /// Whether the first member reaches Kafka by another way than the others, and so goes on where these are cut off.
    pub first_is_direct: bool,
    /// A flush's messages, of each member.
    pub batch_sizes: Vec<u32>,
    /// In the order of time.
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Milliseconds since the beginning.
    pub at: u64,
    pub action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// So many messages for each partition.
    Send(u64),
    /// A member that does not run joins.
    Start(usize),
    /// SIGKILL.
    Kill(usize),
    /// SIGTERM: it flushes and leaves by itself.
    Stop(usize),
    /// SIGSTOP.
    Stall(usize),
    /// SIGCONT.
    Resume(usize),
    /// Connections go wrong, so many in a hundred.
    Disturb(Link, Toxic, Stream, u64),
    /// Nobody can connect.
    Cut(Link),
    /// All is well again.
    Heal(Link),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Of all members, but for one that is direct.
    Kafka,
    /// Of one member.
    Store(usize),
}

/// When the last incident begins.
const INCIDENTS_UNTIL: u64 = 8_000;
/// When the last messages are sent: what happened last has its consequences among them.
const MESSAGES_UNTIL: u64 = 11_000;

impl Schedule {
    /// The schedule of a seed.
    pub fn of(seed: u64) -> Schedule {
        let mut draw = Random::new(seed);
        let members = 2 + draw.below(2) as usize;
        let mut schedule = Schedule {
            seed,
            partitions: 1 + draw.below(5) as i32,
            session_ms: 1_000 + draw.below(1_500),
            static_members: draw.percent(30),
            eager: seed % 3 == 1,
            first_is_direct: draw.percent(60),
            batch_sizes: (0..members)
                .map(|_| match draw.percent(40) {
                    true => 3 + draw.skewed_below(60) as u32,
                    // Cut by time: much is read and not archived yet when something happens.
                    false => 1_000,
                })
                .collect(),
            steps: Vec::new(),
        };
        // Some messages are there already, and some members come later.
        schedule.add(0, Action::Send(draw.below(60)));
        let mut free: Vec<u64> = Vec::new();
        for member in 0..members {
            let joins = if member == 0 { 0 } else { draw.below(3_000) };
            schedule.add(joins, Action::Start(member));
            free.push(joins + 500);
        }
        let mut at = 300;
        while at < MESSAGES_UNTIL {
            schedule.add(at, Action::Send(1 + draw.skewed_below(80)));
            at += 200 + draw.below(500);
        }
        let stores = (0..members).map(Link::Store);
        let mut links: Vec<(Link, u64)> = [Link::Kafka]
            .into_iter()
            .chain(stores)
            .map(|link| (link, 600))
            .collect();
        let mut at = 800;
        while at < INCIDENTS_UNTIL {
            if draw.percent(50) {
                let member = draw.below(members as u64) as usize;
                if free[member] <= at {
                    free[member] = schedule.add_member_incident(&mut draw, at, member);
                }
            } else {
                let link = draw.below(links.len() as u64) as usize;
                if links[link].1 <= at {
                    links[link].1 = schedule.add_link_incident(&mut draw, at, links[link].0);
                }
            }
            at += 150 + draw.below(500);
        }
        schedule.steps.sort_by_key(|step| step.at);
        schedule
    }

    /// Something happens to a member; when it is over.
    fn add_member_incident(&mut self, draw: &mut Random, at: u64, member: usize) -> u64 {
        let pause = draw.below(1_500);
        let (begin, over, end) = match draw.below(10) {
            0..5 => (Action::Kill(member), at + pause, Action::Start(member)),
            5..8 => {
                // Shorter than the session, or so long that another member reads and archives what this one holds.
                let asleep = match draw.percent(30) {
                    true => self.session_ms / 2 + draw.below(self.session_ms),
                    false => self.session_ms + 1_500 + draw.below(3_000),
                };
                (Action::Stall(member), at + asleep, Action::Resume(member))
            }
            _ => (Action::Stop(member), at + pause, Action::Start(member)),
        };
        self.add(at, begin);
        self.add(over, end);
        // So that it gets to work in between, or not quite.
        over + 300 + draw.below(1_500)
    }

    /// Something happens to connections; when it is over.
    fn add_link_incident(&mut self, draw: &mut Random, at: u64, link: Link) -> u64 {
        let toxic = match draw.below(11) {
            0..2 => Some(Toxic::Latency {
                ms: 20 + draw.skewed_below(800),
                jitter: draw.below(100),
            }),
            2 => Some(Toxic::Bandwidth {
                kilobytes: 5 + draw.below(60),
            }),
            3..5 => Some(Toxic::Reset { ms: draw.below(200) }),
            5..7 => Some(Toxic::Silence {
                ms: 300 + draw.below(2_000),
            }),
            7..9 => Some(Toxic::Cut {
                bytes: 1 + draw.skewed_below(20_000),
            }),
            _ => None,
        };
        let begin = match toxic {
            Some(toxic) => {
                let stream = draw.pick(&[Stream::Requests, Stream::Answers]);
                Action::Disturb(link, toxic, stream, draw.pick(&[30, 60, 100]))
            }
            None => Action::Cut(link),
        };
        let longest = if draw.percent(25) { 6_000 } else { 2_500 };
        let over = at + 200 + draw.below(longest);
        self.add(at, begin);
        self.add(over, Action::Heal(link));
        over + draw.below(800)
    }

    fn add(&mut self, at: u64, action: Action) {
        self.steps.push(Step { at, action });
    }
}

/// A message of a seed's producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Row(String),
    Broken(String),
    Tombstone,
}

impl Message {
    /// The message with this number: rows of several months, some with fields that others lack or have in another
    /// type, and now and then none at all; under odd seeds also broken ones. Without these nothing moves the
    /// quarantine's marks, and those of raw_events are alone in keeping members apart.
    pub fn of(seed: u64, number: u64) -> Message {
        let mut draw = Random::new(seed.rotate_left(32) ^ number);
        match draw.below(100) {
            0..8 if !seed.is_multiple_of(2) => Message::Broken(format!("broken {number}")),
            8..14 => Message::Tombstone,
            kind => {
                let timestamp = 1_741_000_000 + draw.below(5) * 2_700_000 + number;
                let extra = match kind {
                    0..24 => format!(r#", "field_{}": {number}"#, draw.below(6)),
                    24..30 => format!(r#", "field_{}": "number {number}""#, draw.below(6)),
                    _ => String::new(),
                };
                Message::Row(format!(
                    r#"{{"timestamp": {timestamp}, "user": "user-{}", "title": "Page {number}", "is_bot": {}, "bytes_changed": {number}{extra}}}"#,
                    draw.below(50),
                    draw.percent(20),
                ))
            }
        }
    }

    /// What is sent; none is a tombstone.
    pub fn value(self) -> Option<String> {
        match self {
            Message::Row(value) | Message::Broken(value) => Some(value),
            Message::Tombstone => None,
        }
    }
}

#[test]
fn a_seed_draws_one_schedule_in_which_whatever_begins_also_ends() {
    for seed in 0..500 {
        let schedule = Schedule::of(seed);
        assert_eq!(schedule, Schedule::of(seed));
        assert_ne!(schedule.steps, Schedule::of(seed + 1).steps);
        assert!(schedule.steps.is_sorted_by_key(|step| step.at));
        for member in 0..schedule.batch_sizes.len() {
            // A member's life is a chain: it starts, something ends or stalls it, it starts or goes on.
            let (mut runs, mut stalled) = (false, false);
            for step in &schedule.steps {
                match step.action {
                    Action::Start(who) if who == member => assert!(!std::mem::replace(&mut runs, true)),
                    Action::Kill(who) | Action::Stop(who) if who == member => {
                        assert!(!stalled && std::mem::replace(&mut runs, false));
                    }
                    Action::Stall(who) if who == member => assert!(runs && !std::mem::replace(&mut stalled, true)),
                    Action::Resume(who) if who == member => assert!(std::mem::replace(&mut stalled, false)),
                    _ => {}
                }
            }
            assert!(runs && !stalled, "seed {seed}, member {member}");
        }
        let stores = (0..schedule.batch_sizes.len()).map(Link::Store);
        for link in [Link::Kafka].into_iter().chain(stores) {
            let mut well = true;
            for step in &schedule.steps {
                match step.action {
                    Action::Disturb(which, ..) | Action::Cut(which) if which == link => {
                        assert!(std::mem::replace(&mut well, false));
                    }
                    Action::Heal(which) if which == link => assert!(!std::mem::replace(&mut well, true)),
                    _ => {}
                }
            }
            assert!(well, "seed {seed}, {link:?}");
        }
    }
}
