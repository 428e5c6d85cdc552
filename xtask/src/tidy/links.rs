//! Relative links of the Markdown pages lead somewhere. Anchors and addresses elsewhere are not followed.

use std::path::Path;

use super::tree::Page;

/// Findings over all pages.
pub(crate) fn check(root: &Path, pages: &[Page]) -> Vec<String> {
    let mut found = Vec::new();
    for page in pages {
        for (line, target) in targets(&page.text) {
            let file = target.split(['#', '?']).next().unwrap_or_default().replace("%20", " ");
            let from = if file.starts_with('/') { root } else { &root.join(&page.path) };
            let base = if file.starts_with('/') { from } else { from.parent().unwrap_or(root) };
            if !base.join(file.trim_start_matches('/')).exists() {
                found.push(format!("{}:{line}: the link to {target} leads nowhere", page.path));
            }
        }
    }
    found
}

/// Line and target of every relative link outside of code.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (number, line) in text.lines().enumerate() {
        let marker = ["```", "~~~"].into_iter().find(|marker| line.trim_start().starts_with(marker));
        match (fence, marker) {
            (None, Some(marker)) => fence = Some(marker),
            (Some(open), Some(marker)) if open == marker => fence = None,
            (None, None) => found.extend(of_line(line).into_iter().map(|target| (number + 1, target))),
            _ => {}
        }
    }
    found
}

fn of_line(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
    let mut found: Vec<String> = prose
        .match_indices("](")
        .filter_map(|(at, _)| prose[at + 2..].split([')', ' ']).next())
        .map(|target| target.trim_matches(['<', '>']).to_owned())
        .collect();
    if prose.starts_with('[')
        && let Some((_, target)) = prose.split_once("]: ")
    {
        found.extend(target.split_whitespace().next().map(str::to_owned));
    }
    found.retain(|target| is_relative(target));
    found
}

fn is_relative(target: &str) -> bool {
    !target.is_empty()
        && !target.starts_with('#')
        && !target.contains("://")
        && !target.starts_with("mailto:")
}

#[cfg(test)]
mod tests {
    use super::{check, targets};
    use crate::tidy::tree::Page;

    #[test]
    fn finds_the_links_of_prose_only() {
        let text = "[a](x.md) and ![b](p/q.png \"t\") `[c](no.md)`\n```\n[d](no.md)\n```\n[e]: y.md#part\n\
                    [f](https://e.test) [g](#here) [h](mailto:a@b.test)\n";
        let found: Vec<String> = targets(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(found, ["x.md", "p/q.png", "y.md#part"]);
    }

    #[test]
    fn a_dead_link_is_found_and_a_live_one_is_not() {
        let root = std::env::temp_dir().join(format!("backshift-links-{}", std::process::id()));
        std::fs::create_dir_all(root.join("docs")).unwrap();
        std::fs::write(root.join("README.md"), "x").unwrap();
        let text = "[up](../README.md#first) [root](/README.md)\n[gone](gone.md)\n".to_owned();
        let found = check(&root, &[Page { path: "docs/a.md".to_owned(), text }]);
        assert_eq!(found, ["docs/a.md:2: the link to gone.md leads nowhere"]);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
