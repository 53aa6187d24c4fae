//! An ordinary message: one event as the producer writes it.

use std::borrow::Cow;

use serde_json::Value;

use super::names::{BOTS, COMMENTS, LATIN, PEOPLE, SMALL_LANGUAGES, SMALL_PROJECTS, SMALL_WIKIS_SHARE, Titles, WIKIS};
use super::random::Random;

/// An event whose values can still be changed: names with their JSON.
#[derive(Debug, Clone)]
pub struct Event(Vec<(&'static str, String)>);

impl Event {
    /// Sets a field, in its place where it has one.
    pub fn set(&mut self, name: &'static str, json: impl Into<String>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = json.into(),
            None => self.0.push((name, json.into())),
        }
    }

    /// Sets a field to a string.
    pub fn set_text(&mut self, name: &'static str, text: &str) {
        self.set(name, quoted(text));
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| *known != name);
    }

    /// A field's JSON; `null` where it is missing.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("null", |(_, json)| json)
    }

    /// The event as JSON, `space` around what separates.
    pub fn json(&self, space: &str) -> String {
        let fields = self
            .0
            .iter()
            .map(|(name, json)| format!("{}:{space}{json}", quoted(name)));
        format!(
            "{{{space}{}{space}}}",
            fields.collect::<Vec<_>>().join(&format!(",{space}"))
        )
    }
}

/// The event of an index, at a time.
pub fn ordinary(random: &mut Random, index: usize, time: i64) -> Event {
    let place = place(random);
    let is_bot = random.percent(place.bots);
    let user = user(random, is_bot);
    let title = title(random, place.titles);
    let kind = match random.below(100) {
        0..68 => "edit",
        68..82 => "categorize",
        82..92 => "log",
        _ => "new",
    };
    let bytes_changed = match kind {
        "edit" if random.percent(4) => Some(0),
        "edit" if random.percent(30) => Some(-random.length()),
        "edit" => Some(random.length()),
        "new" => Some(random.length() + 50),
        _ => None,
    };
    let mut event = Event(Vec::with_capacity(20));
    event.set("timestamp", time.to_string());
    event.set_text("user", &user);
    event.set_text("title", &title);
    event.set_text("server_name", &place.server_name);
    event.set_text("type", kind);
    event.set(
        "bytes_changed",
        bytes_changed.map_or("null".to_owned(), |bytes| bytes.to_string()),
    );
    event.set("is_bot", is_bot.to_string());
    event.set("is_new_page", (kind == "new").to_string());
    let mut labels = place.server_name.split('.');
    event.set(
        "language",
        labels
            .next()
            .filter(|label| *label != "www")
            .map_or("null".to_owned(), quoted),
    );
    event.set("project", labels.next().map_or("null".to_owned(), quoted));
    if kind == "log" {
        event.set("log_params", log_params(random, &title));
    }
    event.set("id", (1_735_000_000 + index as u64).to_string());
    event.set_text("wiki", &place.wiki);
    event.set("namespace", if kind == "categorize" { "14" } else { "0" });
    event.set_text("comment", random.pick(&COMMENTS));
    if bytes_changed.is_some() {
        let revision = 1_195_000_000 + 2 * index as u64;
        event.set("minor", random.percent(20).to_string());
        event.set("patrolled", random.percent(50).to_string());
        event.set(
            "revision_old",
            if kind == "new" {
                "null".to_owned()
            } else {
                revision.to_string()
            },
        );
        event.set("revision_new", (revision + 1).to_string());
    }
    event
}

/// A string as JSON.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

struct Place {
    server_name: Cow<'static, str>,
    wiki: Cow<'static, str>,
    bots: u64,
    titles: Titles,
}

fn place(random: &mut Random) -> Place {
    let mut at = random.below(SMALL_WIKIS_SHARE + WIKIS.iter().map(|wiki| wiki.share).sum::<u64>());
    for wiki in &WIKIS {
        match at.checked_sub(wiki.share) {
            Some(rest) => at = rest,
            None => {
                return Place {
                    server_name: wiki.server_name.into(),
                    wiki: wiki.wiki.into(),
                    bots: wiki.bots,
                    titles: wiki.titles,
                };
            }
        }
    }
    let language = random.pick_skewed(&SMALL_LANGUAGES);
    let (project, database) = random.pick_skewed(&SMALL_PROJECTS);
    Place {
        server_name: format!("{language}.{project}.org").into(),
        wiki: format!("{}{database}", language.replace('-', "_")).into(),
        bots: 10,
        titles: Titles::Words(LATIN),
    }
}

/// Bots are few and busy, people many; one event in nine is by an address.
fn user(random: &mut Random, is_bot: bool) -> Cow<'static, str> {
    if is_bot {
        return random.pick_skewed(&BOTS).into();
    }
    match random.below(18) {
        0 => format!(
            "2001:DB8:{:X}:{:X}:0:0:0:{:X}",
            random.below(64),
            random.below(64),
            random.below(9)
        )
        .into(),
        1 => format!(
            "{}.{}",
            random.pick(&["192.0.2", "198.51.100", "203.0.113"]),
            random.below(255)
        )
        .into(),
        _ => {
            let person = random.skewed_below(100 * PEOPLE.len() as u64) as usize;
            match (PEOPLE[person % PEOPLE.len()], person / PEOPLE.len()) {
                (name, 0) => name.into(),
                (name, number) => format!("{name}{number}").into(),
            }
        }
    }
}

fn title(random: &mut Random, titles: Titles) -> String {
    let words = match titles {
        Titles::Items => return format!("Q{}", 1 + random.skewed_below(125_000_000)),
        Titles::Files(words) => return format!("File:{} {}.jpg", random.pick(words), random.skewed_below(3000)),
        Titles::Words(words) => words,
    };
    match random.below(8) {
        0..3 => random.pick(words).to_owned(),
        3 => format!("{} ({})", random.pick(words), 1900 + random.below(130)),
        _ => format!(
            "{} {} {}",
            random.pick(words),
            random.pick(words),
            random.skewed_below(300)
        ),
    }
}

fn log_params(random: &mut Random, title: &str) -> String {
    match random.below(5) {
        0 => format!(
            r#"{{"target":{},"noredir":"{}"}}"#,
            quoted(&format!("{title} 2")),
            random.below(2)
        ),
        1 => format!(
            r#"{{"img_sha1":"{:016x}","img_timestamp":"2026{:04}T000000Z"}}"#,
            random.next(),
            101 + random.below(28)
        ),
        2 => r#"{"duration":"infinite","flags":["nocreate","noemail"],"sitewide":true}"#.to_owned(),
        3 => format!(
            r#"{{"userid":{},"groups":{{"old":[],"new":["Sysop","патрульный"]}}}}"#,
            random.below(99_999_999)
        ),
        _ => "[]".to_owned(),
    }
}
