//! The text alternative, made from the HTML: links stay readable as `text [url]`.
//!
//! One pass over the tokens and no tree: what a mail costs grows with its bytes and with nothing that stands in them,
//! however its tags are nested, left open or multiplied. A layout of tables and columns cannot promise that.

mod page;

use std::convert::Infallible;

use html5gum::Tokenizer;
use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};

use page::Page;

/// Readable text of an HTML body, cut with a mark when nobody would read on. Never fails.
pub fn html_to_text(html: &str) -> String {
    let mut reader = Reader::default();
    let mut emitter = CallbackEmitter::<_, Infallible>::new(|event: CallbackEvent<'_>, _| {
        reader.take(event);
        None
    });
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
    reader.finish()
}

/// Elements whose text is not for people. Their content is one token, so that no end can be missed.
const UNSEEN: [&[u8]; 7] = [b"style", b"script", b"title", b"iframe", b"noembed", b"noframes", b"textarea"];

/// What an element does to the lines around it.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Runs on in the line: the rest, what nobody knows included.
    Inline,
    /// Begins and ends a line.
    Block,
    /// An empty line before and after.
    Paragraph,
    Quote,
    Preformatted,
    List,
    Item,
    Row,
    Cell,
    Break,
    Rule,
    Link,
    Image,
}

fn kind(name: &[u8]) -> Kind {
    match name {
        b"address" | b"article" | b"aside" | b"body" | b"caption" | b"center" | b"dd" | b"details"
        | b"div" | b"dt" | b"fieldset" | b"figcaption" | b"figure" | b"footer" | b"form" | b"header"
        | b"legend" | b"main" | b"nav" | b"option" | b"section" | b"summary" => Kind::Block,
        b"p" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"dl" | b"table" => Kind::Paragraph,
        b"blockquote" => Kind::Quote,
        b"pre" => Kind::Preformatted,
        b"ul" | b"ol" | b"menu" => Kind::List,
        b"li" => Kind::Item,
        b"tr" => Kind::Row,
        b"td" | b"th" => Kind::Cell,
        b"br" => Kind::Break,
        b"hr" => Kind::Rule,
        b"a" => Kind::Link,
        b"img" => Kind::Image,
        _ => Kind::Inline,
    }
}

/// Turns the tokenizer's events into words on a page.
#[derive(Default)]
struct Reader {
    page: Page,
    /// The text up to the next end tag is not for people.
    unseen: bool,
    /// The start tag that is being read, and the one attribute of it that counts.
    open: Option<Kind>,
    wanted: bool,
    value: String,
}

impl Reader {
    fn take(&mut self, event: CallbackEvent<'_>) {
        match event {
            CallbackEvent::String { value } if !self.unseen => {
                self.page.text(&String::from_utf8_lossy(value))
            }
            CallbackEvent::OpenStartTag { name } => self.begin(name),
            CallbackEvent::AttributeName { name } => {
                self.wanted = self.value.is_empty()
                    && matches!((self.open, name), (Some(Kind::Link), b"href") | (Some(Kind::Image), b"alt"));
            }
            CallbackEvent::AttributeValue { value } if self.wanted => {
                self.value = String::from_utf8_lossy(value).into_owned();
            }
            CallbackEvent::CloseStartTag { .. } => self.begun(),
            CallbackEvent::EndTag { name } => self.end(name),
            _ => {}
        }
    }

    fn begin(&mut self, name: &[u8]) {
        self.unseen = UNSEEN.contains(&name);
        let kind = kind(name);
        self.open = Some(kind);
        self.value.clear();
        match kind {
            Kind::Inline | Kind::Image => {}
            Kind::Block | Kind::Row => self.page.end_line(),
            Kind::Paragraph => self.page.end_paragraph(),
            Kind::Quote => self.page.quote(),
            Kind::Preformatted => self.page.preformatted(true),
            Kind::List => self.page.list(name == b"ol"),
            Kind::Item => self.page.item(),
            Kind::Cell => self.page.cell(),
            Kind::Break => self.page.line_break(),
            Kind::Rule => self.page.rule(),
            Kind::Link => self.page.end_link(),
        }
    }

    /// The attributes of the start tag are known.
    fn begun(&mut self) {
        let value = std::mem::take(&mut self.value);
        match self.open.take() {
            Some(Kind::Link) => self.page.link(shown_url(&value)),
            Some(Kind::Image) => self.page.text(&value),
            _ => {}
        }
    }

    fn end(&mut self, name: &[u8]) {
        self.unseen = false;
        self.open = None;
        match kind(name) {
            Kind::Block | Kind::Item | Kind::Row => self.page.end_line(),
            // `</p>` and `</br>` without a start are a paragraph and a break to a browser too.
            Kind::Paragraph => self.page.end_paragraph(),
            Kind::Break => self.page.line_break(),
            Kind::Quote => self.page.end_quote(),
            Kind::Preformatted => self.page.preformatted(false),
            Kind::List => self.page.end_list(),
            Kind::Link => self.page.end_link(),
            Kind::Inline | Kind::Cell | Kind::Rule | Kind::Image => {}
        }
    }

    fn finish(mut self) -> String {
        self.page.end_link();
        self.page.finish()
    }
}

/// The address of a link as a reader may use it; scripts and anchors are none.
fn shown_url(url: &str) -> Option<String> {
    let url = url.trim();
    let (scheme, rest) = url.split_once(':')?;
    let sound = !url.contains(|c: char| c.is_whitespace() || c.is_control());
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" if sound => Some(url.to_owned()),
        "mailto" if sound => Some(rest.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
