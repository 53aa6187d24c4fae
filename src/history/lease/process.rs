//! Which process a lease belongs to, and whether one of this machine is still there.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process, told apart from all others of all machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The name of its machine.
    pub host: String,
    /// Its number there.
    pub id: u32,
    /// When it was started, in the kernel's ticks; the same number may be given to another process later.
    started: Option<u64>,
    /// The kernel and the namespace within which the number means something; a container has a namespace of its own.
    within: Option<String>,
}

impl Process {
    /// This one.
    pub fn this() -> Process {
        let id = std::process::id();
        Process {
            host: trimmed("/proc/sys/kernel/hostname").unwrap_or_else(|| "a machine without a name".to_owned()),
            id,
            started: started(id),
            within: within(),
        }
    }

    /// Whether it is there; none where it cannot be seen from here.
    pub fn is_there(&self) -> Option<bool> {
        let seen_from_here = self.within.is_some() && self.within == within();
        let started_then = self.started?;
        seen_from_here.then(|| started(self.id) == Some(started_then))
    }

    /// The process as a person reads it.
    pub fn shown(&self) -> String {
        format!("process {} on {}", self.id, self.host)
    }
}

fn within() -> Option<String> {
    let kernel = trimmed("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{kernel} {}", namespace.display()))
}

/// When a process was started; none where there is none of this number.
fn started(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name comes second, in parentheses, and may hold anything; what is behind it are numbers and a letter.
    let (_, behind) = status.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace();
    // A zombie has ended and nobody has taken note yet.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn trimmed(file: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn a_process_is_there_until_it_has_ended_and_of_other_machines_nothing_is_known() {
        let this = Process::this();
        assert_eq!(this.is_there(), Some(true));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let other = Process {
            id: child.id(),
            started: super::started(child.id()),
            ..this.clone()
        };
        assert_eq!(other.is_there(), Some(true));
        child.kill().expect("killed");
        assert!(child.wait().is_ok());
        assert_eq!(other.is_there(), Some(false));
        let later = Process {
            started: Some(1),
            ..this.clone()
        };
        assert_eq!(later.is_there(), Some(false), "the number was given to another process");
        let elsewhere = Process {
            within: Some("another kernel".to_owned()),
            ..this
        };
        assert_eq!(elsewhere.is_there(), None);
    }
}
