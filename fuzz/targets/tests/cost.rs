//! The chapter *cost* of docs/spec/bad-input.md: the worst input below each limit that we know, and what it takes beside
//! an ordinary input of the same size.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use backshift_fuzz_targets::cost::{self, Cost};
use backshift_mail::{Composer, EmailAddress, EmailData, Malformed, decode, html_to_text};

/// Time beside that of an ordinary input of the same size: a cost that grows faster than the input is far beyond it.
const SLOWER: u32 = 25;

fn composer() -> Composer {
    Composer::new("no-reply@shop.example".parse::<EmailAddress>().unwrap().into())
}

fn html(unit: &str, size: usize) -> String {
    unit.repeat(size / unit.len())
}

fn text_cost(html: &str) -> Cost {
    cost::of(|| html_to_text(html)).1
}

/// What took gibibytes or minutes of a layout, and their relatives: nesting, spans, what is never closed.
const WORST: [&str; 16] = [
    "<table><tr><td rowspan=65000 colspan=1000>x",
    "<tr><td rowspan=65000>x</td></tr>",
    "<td colspan=65000>x",
    "<b><i><u><s><p>",
    "<a href=\"https://x.io/\"><b><div>",
    "<div>",
    "</p>",
    "<p",
    "<x a b c d=\"",
    "<blockquote><ul><li>x",
    "<ol><li>x<br>",
    "<!--",
    "&notin",
    "&#x10FFFF;",
    "<a href=https://x.io/y>z",
    "<pre>\n",
];

/// A message whose list has so many entries.
type Message<'a> = &'a dyn Fn(usize) -> String;

#[test]
fn a_mail_body_costs_what_its_bytes_cost_whatever_its_tags_are() {
    let _alone = cost::alone();
    for size in [10 << 10, 128 << 10, 1 << 20] {
        let plain = text_cost(&html("<p>Plain words of a letter.</p>\n", size));
        for unit in WORST {
            let worst = text_cost(&html(unit, size));
            assert!(worst.bytes <= (256 << 10) + 12 * size, "{unit} × {size}: {worst:?}");
            assert!(worst.time <= plain.time * SLOWER, "{unit} × {size}: {worst:?}, plain words {plain:?}");
        }
    }
}

#[test]
fn a_mail_of_the_largest_size_costs_a_few_times_its_bytes() {
    let _alone = cost::alone();
    let recipient: EmailAddress = "lan@x.io".parse().unwrap();
    for unit in ["<p>words </p>\n", "é", "\r", "<td rowspan=65000>"] {
        let mut mail = EmailData::new(recipient.clone(), "s", html(unit, 6 << 20));
        mail.attachments.push(backshift_mail::Attachment {
            filename: "a.bin".into(),
            content_type: String::new(),
            data: vec![7; 4 << 20],
        });
        let size = 10 << 20;
        let (_, cost) = cost::of(|| composer().compose(&mail, "job", jiff::Timestamp::UNIX_EPOCH));
        assert!(cost.bytes <= 32 * size, "{unit:?}: {cost:?}");
    }
    let whole =
        format!("{{\"Recipient\":\"a@x.io\",\"Attachments\":[{{\"Data\":\"{}\"}}]}}", "AAAA".repeat(4 << 20));
    let (mail, cost) = cost::of(|| decode(whole.as_bytes()));
    assert_eq!(mail.unwrap().attachments[0].data.len(), 12 << 20);
    assert!(cost.bytes <= whole.len(), "a file is decoded while it is read: {cost:?}");
}

#[test]
fn lists_of_a_message_are_read_no_further_than_a_mail_may_have() {
    let _alone = cost::alone();
    let many = |entry: &str, count: usize| vec![entry; count].join(",");
    let copies =
        |count| format!("{{\"Recipient\":\"a@x.io\",\"CcAddresses\":[{}]}}", many("\"b@x.io\"", count));
    let files = |count| {
        format!("{{\"Recipient\":\"a@x.io\",\"Attachments\":[{}]}}", many("{\"Data\":\"AAAA\"}", count))
    };
    let headers = |count: usize| {
        let entries: Vec<String> = (0..count).map(|n| format!("\"X-{n}\":\"1\"")).collect();
        format!("{{\"Recipient\":\"a@x.io\",\"Headers\":{{{}}}}}", entries.join(","))
    };
    let keys = |count: usize| {
        let entries: Vec<String> = (0..count).map(|n| format!("\"k{n}\":[]")).collect();
        format!("{{\"Recipient\":\"a@x.io\",\"Other\":{{{}}}}}", entries.join(","))
    };
    let lists: [(&str, Message<'_>, usize); 4] = [
        ("CcAddresses has more than 50", &copies, 50),
        ("Attachments has more than 10", &files, 10),
        ("Headers has more than 20", &headers, 20),
        ("more than 1000 keys", &keys, 1_000),
    ];
    for (says, message, limit) in lists {
        decode(message(limit).as_bytes()).unwrap();
        for count in [limit + 1, 400_000] {
            let message = message(count);
            let (read, cost) = cost::of(|| decode(message.as_bytes()));
            let Err(Malformed::Json(problem)) = read else { panic!("{says}: {read:?}") };
            assert!(problem.contains(says), "{problem}");
            assert!(cost.bytes <= 256 << 10, "{says}: {count} entries took {cost:?}");
        }
    }
}

#[test]
fn the_width_and_depth_of_json_cost_what_its_bytes_cost() {
    let _alone = cost::alone();
    let size = 1 << 20;
    let plain = format!("{{\"Recipient\":\"a@x.io\",\"Body\":\"{}\"}}", "word ".repeat(size / 5));
    let plain = cost::of(|| decode(plain.as_bytes())).1;
    let deep = |open: &str, close: &str, depth: usize| open.repeat(depth) + "0" + &close.repeat(depth);
    for other in [
        format!("[{}]", vec!["[]"; size / 3].join(",")),
        format!("[{}]", vec!["{}"; size / 3].join(",")),
        format!("[{}]", vec![deep("[", "]", 100); size / 202].join(",")),
        format!("[{}]", vec![deep("{\"a\":", "}", 100); size / 602].join(",")),
        format!("\"{}\"", "\\u00e9".repeat(size / 6)),
        format!("{{\"{}\":1}}", "k".repeat(size)),
        "[".repeat(size),
        format!("[{}]", vec!["1e308"; size / 6].join(",")),
    ] {
        let message = format!("{{\"Recipient\":\"a@x.io\",\"Other\":{other}}}");
        let cost = cost::of(|| decode(message.as_bytes())).1;
        assert!(cost.bytes <= (256 << 10) + 64 * size, "{other:.40}: {cost:?}");
        assert!(cost.time <= plain.time * 4 * SLOWER, "{other:.40}: {cost:?}, one long text {plain:?}");
    }
}

#[test]
fn headers_and_addresses_of_any_length_are_refused_before_they_cost() {
    let _alone = cost::alone();
    let recipient: EmailAddress = "lan@x.io".parse().unwrap();
    for size in [8 << 10, 8 << 20] {
        for (name, value) in [("X-A", "é"), ("X-A", "word "), ("X-A", " "), ("References", "<a@b> ")] {
            let mut mail = EmailData::new(recipient.clone(), value.repeat(size / value.len()), "");
            mail.headers.push((name.into(), value.repeat(size / value.len())));
            let (made, cost) = cost::of(|| composer().compose(&mail, "job", jiff::Timestamp::UNIX_EPOCH));
            assert_eq!(made.is_ok(), size == 8 << 10, "{value:?} × {size}: {made:?}");
            assert!(cost.bytes <= 1 << 20, "{value:?} × {size}: {cost:?}");
        }
    }
    for domain in ["a.", "é.", "é", "xn--", "\u{3002}", "\u{1100}\u{1161}"] {
        let address = format!("a@{}io", domain.repeat((4 << 20) / domain.len()));
        let (read, cost) = cost::of(|| EmailAddress::parse(&address));
        assert!(read.is_err() && cost.bytes <= 64 << 10, "{domain:?}: {cost:?}");
    }
}

#[test]
fn a_payload_on_a_page_costs_what_its_bytes_cost() {
    let _alone = cost::alone();
    let size = 256 << 10;
    let list = |entry: &str| format!("[{}]", vec![entry; size / (entry.len() + 1)].join(","));
    let quoted = |json: &str| serde_json::to_string(json).unwrap();
    for payload in [
        list("[]"),
        list("{\"password\":[1]}"),
        list(&("[".repeat(100) + &"]".repeat(100))),
        list("\"https://a:b@c/?token=d&pin=e\""),
        list(&quoted(&format!("{{\"a\":{}}}", quoted("{\"pin\":1}")))),
        list("\"a@x.io\""),
        format!("{{{}}}", (0..size / 10).map(|n| format!("\"k{n}\":0")).collect::<Vec<_>>().join(",")),
        format!("{{\"{}\":0}}", "aB_".repeat(size / 3)),
        "[".repeat(size),
    ] {
        let (page, cost) = cost::of(|| backshift_http::pages::fuzzing::payload(payload.as_bytes()));
        assert!(page.len() <= 2 << 20, "{payload:.40}: {} bytes", page.len());
        assert!(cost.bytes <= (1 << 20) + 256 * size, "{payload:.40}: {cost:?}");
    }
}
