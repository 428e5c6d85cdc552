//! One file as a MIME part: always base64, a name that is safe to save, a type that is sound.
//!
//! Names are cleaned (paths, control and direction characters, length), not refused: only CR, LF and NUL are.

use email_encoding::body::base64;
use lettre::message::header::{ContentDisposition, ContentTransferEncoding, ContentType};
use lettre::message::{Body, SinglePart};

use crate::email::Attachment;

/// Longest file name in bytes; file systems stop at 255, and encodings need room.
const MAX_NAME: usize = 180;

pub(super) fn attachment_part(file: &Attachment) -> SinglePart {
    let mut text = String::with_capacity(base64::encoded_len(file.data.len()));
    // Writing into a String cannot fail. The bytes are not copied before: a file is large.
    let _ = base64::encode(&file.data, &mut text);
    let body = Body::dangerous_pre_encoded(text.into_bytes(), ContentTransferEncoding::Base64);
    SinglePart::builder()
        .header(content_type(&file.content_type))
        .header(ContentDisposition::attachment(&safe_name(&file.filename)))
        .body(body)
}

/// Composite types would need parts of their own, so a file that claims one is bytes.
fn content_type(text: &str) -> ContentType {
    let lower = text.trim().to_ascii_lowercase();
    let sound = text.len() <= 200
        && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && !lower.starts_with("multipart/")
        && !lower.starts_with("message/");
    let parsed = if sound { ContentType::parse(text.trim()).ok() } else { None };
    parsed.unwrap_or_else(octet_stream)
}

fn octet_stream() -> ContentType {
    ContentType::parse("application/octet-stream").unwrap_or(ContentType::TEXT_PLAIN)
}

fn safe_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = base.chars().filter(|c| !is_hidden(*c)).collect();
    let clean = clean.trim().trim_start_matches('.').replace('"', "'");
    match clean.as_str() {
        "" => "attachment".to_owned(),
        _ => shortened(&clean),
    }
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn shortened(name: &str) -> String {
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= 16 => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    let room = MAX_NAME - extension.len();
    let end = stem.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= room).last();
    format!("{}{extension}", &stem[..end.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::{content_type, safe_name};

    #[test]
    fn names_are_safe_to_save() {
        assert_eq!(safe_name("../../etc/passwd"), "passwd");
        assert_eq!(safe_name("C:\\x\\report.pdf"), "report.pdf");
        assert_eq!(safe_name("invoice\u{202e}fdp.exe"), "invoicefdp.exe");
        assert_eq!(safe_name("..."), "attachment");
        assert_eq!(safe_name(""), "attachment");
        assert_eq!(safe_name("Hóa đơn.pdf"), "Hóa đơn.pdf");
        let long = safe_name(&format!("{}.pdf", "é".repeat(300)));
        assert!(long.len() <= 180 && long.ends_with("é.pdf"), "{long}");
    }

    #[test]
    fn types_are_sound() {
        let shown = |text: &str| format!("{:?}", content_type(text));
        assert!(shown("text/csv; charset=utf-8").contains("text/csv"));
        for odd in ["", "nonsense", "multipart/mixed", "message/rfc822", "text/plain; é=1"] {
            assert!(shown(odd).contains("application/octet-stream"), "{odd}");
        }
    }
}
