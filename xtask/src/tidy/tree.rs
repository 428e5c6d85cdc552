//! The files that the checks look at: everything in the checkout that is ours, found by walking, so that files not
//! yet known to git are judged too.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::lexer::{self, Literal};

/// One Rust file.
pub(crate) struct Source {
    /// Path below the root, with `/`.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
    /// Same lines, comments blank, string contents masked.
    pub(crate) code: String,
    /// Its string literals.
    pub(crate) literals: Vec<Literal>,
}

impl Source {
    /// A file with this path and content.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, literals) = lexer::lex(text);
        Self { path: path.to_owned(), text: text.to_owned(), code, literals }
    }
}

/// One Markdown file.
pub(crate) struct Page {
    /// Path below the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every `.rs` file.
pub(crate) fn rust_files(root: &Path) -> Result<Vec<Source>> {
    Ok(files(root, "rs")?.into_iter().map(|(path, text)| Source::new(&path, &text)).collect())
}

/// Every `.md` file.
pub(crate) fn markdown_files(root: &Path) -> Result<Vec<Page>> {
    Ok(files(root, "md")?.into_iter().map(|(path, text)| Page { path, text }).collect())
}

/// Path and text of every `.py` file.
pub(crate) fn python_files(root: &Path) -> Result<Vec<(String, String)>> {
    files(root, "py")
}

fn files(root: &Path, extension: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    walk(root, root, extension, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(root: &Path, dir: &Path, extension: &str, found: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules", "vendor"].contains(&name.as_str()) {
                walk(root, &path, extension, found)?;
            }
        } else if kind.is_file() && path.extension().is_some_and(|e| e == extension) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            found.push((below, text));
        }
    }
    Ok(())
}
