//! What one setting is: its names, its default and how its text is checked. The list of them is `settings.rs`.

/// How the text of a setting is checked when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Switch,
    /// `5s`, `10m`, and `0s` where none at all makes sense.
    Duration,
    /// The same where none at all would let nobody come to an end.
    Time,
    /// `16MiB`.
    Size,
    /// A whole number in this range.
    Number(u64, u64),
    /// A URL; user information in it is never printed.
    Url,
    /// Text that is never printed.
    Secret,
    /// Addresses and networks with commas between.
    Networks,
    /// The name of an HTTP header.
    Header,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// `section.name` of the file, or `name` at the top level.
    pub(crate) key: &'static str,
    /// The seeds' own variables, besides `BACKSHIFT_SECTION_NAME`.
    pub(crate) seeds: &'static [&'static str],
    /// The default; empty = not set.
    pub(crate) default: &'static str,
    /// How it is checked.
    pub(crate) form: Form,
    /// One sentence for the commented file.
    pub(crate) meaning: &'static str,
}

impl AsRef<Self> for Setting {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Setting {
    /// Its section of the file; empty at the top level.
    pub(crate) fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// `BACKSHIFT_SECTION_NAME` (docs/contracts/system-c.md).
    pub(crate) fn variable(&self) -> String {
        format!("BACKSHIFT_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    /// Every variable that sets it.
    pub(crate) fn variables(&self) -> Vec<String> {
        let mut all: Vec<String> = self.seeds.iter().map(|s| (*s).to_owned()).collect();
        all.push(self.variable());
        all
    }
}

pub(crate) const fn set(
    key: &'static str,
    seeds: &'static [&'static str],
    default: &'static str,
    form: Form,
    meaning: &'static str,
) -> Setting {
    Setting { key, seeds, default, form, meaning }
}
