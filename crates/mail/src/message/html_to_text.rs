//! The text alternative, made from the HTML: links stay readable as `text [url]`.
//!
//! html2text does it; HTML that is huge or absurdly deep takes a simple tag stripper instead, because a
//! recursive walk over a stranger's nesting could take the process down.

use html2text::config;
use html2text::render::TextDecorator;

/// Columns of the text.
const WIDTH: usize = 76;
/// HTML beyond this many bytes is stripped, not laid out.
const MAX_LAYOUT: usize = 512 << 10;
/// Open tags beyond this many at once are stripped, not laid out.
const MAX_DEPTH: usize = 200;

/// Readable text of an HTML body. Never fails: at worst the tags are taken out.
pub fn html_to_text(html: &str) -> String {
    if html.len() > MAX_LAYOUT || depth(html) > MAX_DEPTH {
        return stripped(html);
    }
    let layout = || {
        config::with_decorator(LinksInBrackets::default())
            .no_link_wrapping()
            .no_table_borders()
            .allow_width_overflow()
            .string_from_read(html.as_bytes(), WIDTH)
    };
    match std::panic::catch_unwind(layout) {
        Ok(Ok(text)) => tidied(&text),
        _ => stripped(html),
    }
}

/// Most tags open at once, counted roughly: void and unclosed elements only make it larger.
fn depth(html: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    for part in html.split('<').skip(1) {
        let name = part.trim_start_matches('/');
        if part.starts_with('/') {
            open = open.saturating_sub(1);
        } else if name.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_void(name) {
            open += 1;
            deepest = deepest.max(open);
        }
    }
    deepest
}

fn is_void(tag: &str) -> bool {
    let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
    let void =
        ["br", "hr", "img", "meta", "link", "input", "col", "wbr", "area", "base", "p", "li", "td", "tr"];
    void.contains(&name.to_ascii_lowercase().as_str())
}

fn stripped(html: &str) -> String {
    let mut out = String::new();
    for (index, part) in html.split('<').enumerate() {
        let text = match part.split_once('>') {
            Some((tag, text)) if index > 0 => {
                let block = tag.trim_start_matches('/').to_ascii_lowercase();
                if ["p", "br", "div", "tr", "li", "h1", "h2", "h3"].iter().any(|b| block.starts_with(b)) {
                    out.push('\n');
                }
                text
            }
            _ if index == 0 => part,
            _ => "",
        };
        out.push_str(text);
    }
    let plain = out.replace("&nbsp;", " ").replace("&lt;", "<").replace("&gt;", ">");
    tidied(&plain.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&"))
}

/// No trailing spaces, never two empty lines in a row, none at the ends.
fn tidied(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines().map(str::trim_end) {
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty <= 1 {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.trim_matches('\n').to_owned() + "\n"
}

/// Plain words, and the address of a link behind its text.
#[derive(Default)]
struct LinksInBrackets {
    url: Option<String>,
}

impl TextDecorator for LinksInBrackets {
    type Annotation = ();

    fn decorate_link_start(&mut self, url: &str) -> (String, ()) {
        let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let shown = ["http", "https", "mailto"].contains(&scheme.as_str());
        self.url = shown.then(|| url.strip_prefix("mailto:").unwrap_or(url).to_owned());
        (String::new(), ())
    }

    fn decorate_link_end(&mut self) -> String {
        self.url.take().map(|url| format!(" [{url}]")).unwrap_or_default()
    }

    fn decorate_em_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) {}

    fn decorate_preformat_cont(&self) {}

    fn decorate_image(&mut self, _src: &str, title: &str) -> (String, ()) {
        (title.to_owned(), ())
    }

    fn header_prefix(&self, _level: usize) -> String {
        String::new()
    }

    fn quote_prefix(&self) -> String {
        "> ".to_owned()
    }

    fn unordered_item_prefix(&self) -> String {
        "- ".to_owned()
    }

    fn ordered_item_prefix(&self, number: i64) -> String {
        format!("{number}. ")
    }

    fn make_subblock_decorator(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::html_to_text;

    #[test]
    fn keeps_links_and_drops_styles() {
        let html = "<html><head><style>p{color:red}</style></head><body><h1>Hi</h1><p>Your <b>code</b> is 1.</p>\
            <p><a href=\"https://x.io/a?b=1\">Open it</a> or <a href=\"javascript:x\">this</a></p></body></html>";
        let text = html_to_text(html);
        assert!(text.contains("Your code is 1."), "{text}");
        assert!(text.contains("Open it [https://x.io/a?b=1]"), "{text}");
        assert!(!text.contains("color") && !text.contains("javascript"), "{text}");
    }

    #[test]
    fn survives_absurd_html() {
        for tag in ["<div>", "<b>", "<table><tr><td>", "<blockquote>", "<ul><li>", "<", "<p", "</p>", "&"] {
            for times in [150, 50_000] {
                html_to_text(&tag.repeat(times));
            }
        }
        assert_eq!(html_to_text(""), "\n");
        assert!(html_to_text(&format!("{}deep &amp; down", "<i>".repeat(5_000))).contains("deep & down"));
    }
}
