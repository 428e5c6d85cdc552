//! Where this system's packages come from. The file has a different name on every kind of machine: an installer, an
//! image and a bootstrapper each choose one.

use std::fs;
use std::path::PathBuf;

/// The file that names the distribution's own mirror, and its text; other vendors' files are passed over.
pub fn debian() -> Option<(PathBuf, String)> {
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
    files.sort();
    files.insert(0, PathBuf::from("/etc/apt/sources.list"));
    let is_list = |file: &PathBuf| file.extension().is_some_and(|end| end == "list" || end == "sources");
    files.retain(is_list);
    files.into_iter().find_map(|file| {
        let text = fs::read_to_string(&file).ok()?;
        named(&text)?;
        Some((file, text))
    })
}

/// The distribution's mirror that such a file names, in either of the two forms.
pub(crate) fn named(text: &str) -> Option<&str> {
    let named = text.lines().filter(|line| line.starts_with("URIs:") || line.starts_with("deb "));
    let mut words = named.flat_map(str::split_whitespace).filter(|word| word.contains("://"));
    words.find(|word| {
        let path = word.trim_end_matches('/');
        path.ends_with("/debian")
    })
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn both_forms_are_read() {
        let sources = "Types: deb\n# note\nURIs: http://mirror.example/debian\nSuites: bookworm\n";
        assert_eq!(named(sources), Some("http://mirror.example/debian"));
        let list = "# deb cdrom\ndeb [arch=amd64] http://other.example/debian/ bookworm main\n";
        assert_eq!(named(list), Some("http://other.example/debian/"));
    }

    #[test]
    fn other_vendors_and_other_archives_are_passed_over() {
        assert_eq!(named(""), None);
        assert_eq!(named("# deb http://mirror.example/debian bookworm main\n"), None);
        assert_eq!(named("deb https://vendor.example/apt bookworm main\n"), None);
        assert_eq!(named("URIs: http://mirror.example/debian-security\n"), None);
    }
}
