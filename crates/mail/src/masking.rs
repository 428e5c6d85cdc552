//! Text that others wrote (server replies, errors), made fit for logs: capped, on one line, addresses masked.
//!
//! Works on any text, also where the address in it would not pass our own check.

/// Longest text of a server that we keep, in characters.
pub const MAX_TEXT: usize = 500;

/// Masks every address in `text` as `ab***@host`, turns control characters into spaces and caps the length
/// at [`MAX_TEXT`] characters.
pub fn mask_text(text: &str) -> String {
    let clean: String =
        text.chars().take(4 * MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut out = String::with_capacity(clean.len());
    let mut word = String::new();
    for c in clean.chars() {
        if is_address_char(c) {
            word.push(c);
        } else {
            push_masked(&mut out, &word);
            word.clear();
            out.push(c);
        }
    }
    push_masked(&mut out, &word);
    cap(out)
}

fn cap(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Also what nobody sees: an address with an invisible character in it is read as one.
fn is_address_char(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c == '@' || c.is_alphanumeric() || invisible || ".!#$%&'*+-/=?^_`{|}~".contains(c)
}

fn push_masked(out: &mut String, word: &str) {
    match word.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() => {
            // Of `a@x.io@y` the first name is the one to hide.
            let name = local.split('@').next().unwrap_or_default();
            let keep = 2.min(name.chars().count().saturating_sub(1));
            out.extend(name.chars().take(keep));
            out.push_str("***@");
            out.push_str(domain);
        }
        _ => out.push_str(word),
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_TEXT, mask_text};

    #[test]
    fn masks_addresses_wherever_they_stand() {
        assert_eq!(
            mask_text("<lan.nguyen@x.io>: Recipient address rejected, ask postmaster@x.io."),
            "<la***@x.io>: Recipient address rejected, ask po***@x.io."
        );
        assert_eq!(mask_text("a@x.io"), "***@x.io");
        assert_eq!(mask_text("nothing @ all"), "nothing @ all");
        assert_eq!(mask_text("a@x.io@y.io, ada@x@y"), "***@y.io, ad***@y");
        assert_eq!(mask_text("lan.nguyen\u{200b}@x.io"), "la***@x.io");
    }

    #[test]
    fn one_line_and_capped() {
        assert_eq!(mask_text("a\r\nb\0c"), "a  b c");
        assert_eq!(mask_text(&"é".repeat(10_000)).chars().count(), MAX_TEXT + 1);
    }
}
