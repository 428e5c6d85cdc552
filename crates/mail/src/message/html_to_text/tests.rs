//! What a reader gets to see of ordinary, odd and absurd HTML.

use super::html_to_text;

#[test]
fn keeps_links_and_drops_styles() {
    let html = "<html><head><title>T</title><style>p{color:red}</style></head><body><h1>Hi</h1><p>Your <b>code</b> is 1.</p>\
        <p><a href=\"https://x.io/a?b=1\">Open it</a> or <a href=\"javascript:x\">this</a></p></body></html>";
    assert_eq!(html_to_text(html), "Hi\n\nYour code is 1.\n\nOpen it [https://x.io/a?b=1] or this\n");
    for (html, text) in [
        ("<a href='https://x.io/'>https://x.io/</a>!", "https://x.io/!\n"),
        ("<a href=\"mailto:a@x.io\">write</a>", "write [a@x.io]\n"),
        ("<a href=\"#top\">up</a> <a name=x>here</a>", "up here\n"),
        (
            "<a href=\"https://a.io\">one <a href=\"https://b.io\">two",
            "one [https://a.io] two [https://b.io]\n",
        ),
        ("<img alt='a &lt; b' src=x><img alt=''> <b>c</b>d", "a < b cd\n"),
        ("&amp;lt; caf&eacute; &#8364;&nbsp;5 &nosuch;", "&lt; café € 5 &nosuch;\n"),
        ("a<!-- <p>not seen</p> -->b<![CDATA[c]]>", "ab\n"),
        ("<script>if (a < b) { '</p>' }</script>seen", "seen\n"),
    ] {
        assert_eq!(html_to_text(html), text, "{html}");
    }
}

#[test]
fn blocks_lists_quotes_and_tables_keep_their_lines() {
    for (html, text) in [
        ("a<br>b<br><br><br>c", "a\nb\n\nc\n"),
        ("<div>a<div>b</div></div>c", "a\nb\nc\n"),
        ("<p>a</p>\n\n<p>  b  \n c</p>", "a\n\nb c\n"),
        ("x<ul><li>a<li><p>b</p><ol><li>c</li><li>d</ol></ul>y", "x\n\n- a\n\n- b\n\n  1. c\n  2. d\n\ny\n"),
        ("a<blockquote>b<p>c</blockquote>d", "a\n\n> b\n>\n> c\n\nd\n"),
        (
            "<table><tr><th>Item</th><th>Price</th></tr><tr><td>Tea</td><td>2 €</td></tr></table>",
            "Item  Price\nTea  2 €\n",
        ),
        ("<table><tr><td rowspan=65000 colspan=999>a</td><td><p>b</p></td></tr></table>", "a\n\nb\n"),
        ("<pre>a\n  b\n\n\nc</pre>d", "a\n  b\n\nc\n\nd\n"),
        ("a<hr>b", "a\n---\nb\n"),
    ] {
        assert_eq!(html_to_text(html), text, "{html}");
    }
}

#[test]
fn long_lines_are_folded_at_words_and_scripts_without_spaces_anywhere() {
    let text = html_to_text(&"word ".repeat(100));
    assert!(text.lines().all(|line| line.len() <= 76), "{text}");
    assert_eq!(text.split_whitespace().count(), 100);
    let url = format!("https://x.io/{}", "a".repeat(300));
    assert!(html_to_text(&format!("see {url}")).contains(&url), "an address is never parted");
    let text = html_to_text(&"認証コード".repeat(100));
    assert!(text.lines().all(|line| line.chars().count() <= 38), "{text}");
    assert_eq!(text.replace('\n', ""), "認証コード".repeat(100));
}

#[test]
fn survives_absurd_html() {
    for tag in
        ["<div>", "<b>", "<table><tr><td>", "<blockquote>", "<ul><li>", "<", "<p", "</p>", "&", "<a href=x "]
    {
        for times in [150, 50_000] {
            html_to_text(&tag.repeat(times));
        }
    }
    assert_eq!(html_to_text(""), "\n");
    assert_eq!(html_to_text(&format!("{}deep &amp; down", "<i>".repeat(5_000))), "deep & down\n");
    let deep = html_to_text(&format!("{}deep", "<blockquote><ul><li>".repeat(5_000)));
    assert_eq!(deep, "> > > >       - deep\n", "marks have a bound");
}

#[test]
fn what_nobody_would_read_is_cut_with_a_mark() {
    let text = html_to_text(&"<p>long &eacute;</p>".repeat(100_000));
    assert!(text.ends_with("\n[…]\n") && text.len() < 300 << 10, "{}", text.len());
    let text = html_to_text(&"é".repeat(1 << 20));
    assert!(text.ends_with("\n[…]\n") && text.len() < 300 << 10, "{}", text.len());
}
