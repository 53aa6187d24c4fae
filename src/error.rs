//! The coarse kinds that decide what happens after an error, and the exit code that each becomes.

/// What the person, or the loop, that meets an error should do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A peer was away, slow or overloaded: the same thing may succeed later.
    Retry,
    /// A setting, an argument or a permission is wrong: it fails until somebody changes it.
    Configuration,
    /// What was read is not what it should be.
    Data,
    /// The machine lacks something, such as room on a disk: it fails until somebody makes room.
    Resource,
    /// What was computed does not meet what is expected of it.
    Unmet,
    /// lakebed itself is at fault.
    Bug,
}

impl Kind {
    /// The exit code of a command that ended with this kind of error (contract, section 7).
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Configuration => 2,
            Kind::Unmet => 11,
            Kind::Retry | Kind::Data | Kind::Resource | Kind::Bug => 1,
        }
    }

    /// The kind's name in the logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Retry => "retry",
            Kind::Configuration => "configuration",
            Kind::Data => "data",
            Kind::Resource => "resource",
            Kind::Unmet => "unmet",
            Kind::Bug => "bug",
        }
    }
}

/// An error of one of lakebed's domains, which knows its kind.
pub trait HasKind {
    /// What should be done about it.
    fn kind(&self) -> Kind;
}
