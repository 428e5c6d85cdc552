//! Secrets that stand in files: `SMTP_PASSWORD_FILE=/run/secrets/smtp` says what `SMTP_PASSWORD` would.
//!
//! Docker and Kubernetes mount such files readable for others and behind links, so neither is refused here, as it is
//! for files that we make ourselves.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
};

use rustix::fs::OFlags;

use super::{Form, Setting};

/// What a variable's name ends with when its value is the path of a file.
const SUFFIX: &str = "_FILE";
/// A longer file is not a secret.
const LONGEST: u64 = 64 << 10;

/// The variable that the file's text is for, when `name` asks for a file of one of these settings.
pub(super) fn stands_for<'a>(name: &'a str, settings: &[Setting]) -> Option<&'a str> {
    let variable = name.strip_suffix(SUFFIX)?;
    let takes = |s: &Setting| may_be_a_file(s) && s.variables().iter().any(|known| known == variable);
    settings.iter().any(takes).then_some(variable)
}

/// Whether a file may say it: what is secret, and URLs, which may have a password.
pub(super) fn may_be_a_file(setting: &Setting) -> bool {
    matches!(setting.form, Form::Secret | Form::Url)
}

/// The secret without the line's end behind it; the error names the path and what to do.
pub(super) fn read(path: &str) -> Result<String, String> {
    let text = text_of(path).map_err(|error| format!("the file {path} cannot be read: {error}"))?;
    if text.len() as u64 > LONGEST {
        return Err(format!("the file {path} is longer than 64 KiB: it is no secret"));
    }
    let text = String::from_utf8(text).map_err(|_| format!("the file {path} is not UTF-8"))?;
    let secret =
        text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    match secret.is_empty() {
        true => Err(format!("the file {path} is empty: write the secret into it, or unset the variable")),
        false => Ok(secret.to_owned()),
    }
}

fn text_of(path: &str) -> io::Result<Vec<u8>> {
    // Without waiting: a pipe that nobody writes would hold the start.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::{super::SETTINGS, *};

    #[test]
    fn secrets_and_urls_may_stand_in_files_and_nothing_else() {
        for (name, variable) in [
            ("SMTP_PASSWORD_FILE", Some("SMTP_PASSWORD")),
            ("BACKSHIFT_SMTP_PASSWORD_FILE", Some("BACKSHIFT_SMTP_PASSWORD")),
            ("DATABASE_URL_FILE", Some("DATABASE_URL")),
            ("JWT_SECRET_FILE", Some("JWT_SECRET")),
            ("BACKSHIFT_SMTP_CA_FILE", None),
            ("SMTP_HOST_FILE", None),
            ("_FILE", None),
        ] {
            assert_eq!(stands_for(name, &SETTINGS), variable, "{name}");
        }
    }

    #[test]
    fn the_line_end_is_no_part_of_the_secret_and_spaces_are() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("secret");
        let path = path.to_str().unwrap();
        for (text, secret) in [("a\n", "a"), ("a\r\n", "a"), (" a b ", " a b "), ("a\n\n", "a\n")] {
            std::fs::write(path, text).unwrap();
            assert_eq!(read(path).as_deref(), Ok(secret));
        }
    }

    #[test]
    fn what_is_no_secret_is_told_with_its_path_and_without_its_text() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("secret");
        let said = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            read(path.to_str().unwrap()).unwrap_err()
        };
        assert!(said(b"\n").contains("is empty"));
        assert!(said(b"hunter2\xff").ends_with("secret is not UTF-8"));
        let long = said(&[b'x'; 70_000]);
        assert!(long.contains("longer than 64 KiB") && !long.contains("xx"), "{long}");
        assert!(read("/does/not/exist").unwrap_err().contains("/does/not/exist"));
        assert!(read(place.path().to_str().unwrap()).unwrap_err().contains("no plain file"));
        let pipe = place.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(read(pipe.to_str().unwrap()).unwrap_err().contains("no plain file"));
    }
}
