//! The dev mailbox on a real directory.

use super::DevMailbox;
use crate::email::{Attachment, EmailData};
use crate::{Composer, Mailer as _, Message, NamedAddress, Outcome};

fn message(subject: &str) -> Message {
    let mut email = EmailData::new("lan@x.io".parse().unwrap(), subject, "<p>Mã của bạn: <b>123456</b></p>");
    email.cc_addresses.push(NamedAddress::parse("Cường <c@x.io>").unwrap());
    email.attachments.push(Attachment {
        filename: "hóa đơn.txt".into(),
        content_type: "text/plain".into(),
        data: b"total: 1".to_vec(),
    });
    let composer = Composer::new(NamedAddress::parse("SMAP <noreply@smap.example>").unwrap());
    composer.compose(&email, "job-1", jiff::Timestamp::UNIX_EPOCH).unwrap()
}

#[tokio::test]
async fn stores_lists_and_reads() {
    let directory = tempfile::tempdir().unwrap();
    let mailbox = DevMailbox::open(directory.path().join("mail")).await.unwrap();
    for subject in ["Một", "Hai", "Ba"] {
        assert!(mailbox.send(&message(subject)).await.outcome.is_sent());
    }
    let (page, total) = mailbox.list(0, 2).await.unwrap();
    assert_eq!(total, 3);
    assert_eq!(page.iter().map(|m| m.subject.as_str()).collect::<Vec<_>>(), ["Ba", "Hai"]);
    assert_eq!(mailbox.list(2, 9).await.unwrap().0[0].subject, "Một");
    let mail = mailbox.read(&page[0].id).await.unwrap().unwrap();
    assert_eq!(mail.summary.from, "SMAP <noreply@smap.example>");
    assert_eq!(mail.summary.to, ["lan@x.io"]);
    assert_eq!(mail.summary.date, Some(jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(mail.cc, ["Cường <c@x.io>"]);
    assert_eq!(mail.delivered_to, ["lan@x.io", "c@x.io"]);
    assert!(mail.html.as_ref().unwrap().contains("<b>123456</b>"));
    assert!(mail.text.as_ref().unwrap().contains("Mã của bạn: 123456"));
    assert_eq!(mail.message_id, "<job-1@smap.example>");
    assert_eq!((mail.files[0].name.as_str(), mail.files[0].size), ("hóa đơn.txt", 8));
    let (file, bytes) = mailbox.attachment(&page[0].id, 0).await.unwrap().unwrap();
    assert_eq!((file.content_type.as_str(), bytes.as_slice()), ("text/plain", b"total: 1".as_slice()));
    assert!(mailbox.attachment(&page[0].id, 1).await.unwrap().is_none());
    assert_eq!(mailbox.clear().await.unwrap(), 3);
    assert_eq!(mailbox.list(0, 9).await.unwrap(), (vec![], 0));
}

#[tokio::test]
async fn reopened_it_is_still_there_and_half_written_mail_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let mailbox = DevMailbox::open(directory.path()).await.unwrap();
    mailbox.send(&message("kept")).await;
    std::fs::write(directory.path().join("000-x.eml.tmp"), b"half").unwrap();
    std::fs::write(directory.path().join("notes.txt"), b"mine").unwrap();
    let again = DevMailbox::open(directory.path()).await.unwrap();
    assert_eq!(again.list(0, 9).await.unwrap().1, 1);
    assert!(!directory.path().join("000-x.eml.tmp").exists());
    assert!(directory.path().join("notes.txt").exists());
}

#[tokio::test]
async fn ids_do_not_leave_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("secret.eml"), b"Subject: s\r\n\r\nx").unwrap();
    let mailbox = DevMailbox::open(directory.path().join("inner")).await.unwrap();
    for id in
        ["../secret.eml", "..%2fsecret.eml", "", ".eml", "/etc/passwd", "a/../../secret.eml", "nothing.eml"]
    {
        assert!(mailbox.read(id).await.unwrap().is_none(), "{id}");
    }
}

#[tokio::test]
async fn a_directory_that_is_gone_is_a_retry() {
    let directory = tempfile::tempdir().unwrap();
    let mailbox = DevMailbox::open(directory.path().join("inner")).await.unwrap();
    std::fs::remove_dir(directory.path().join("inner")).unwrap();
    assert!(matches!(mailbox.send(&message("x")).await.outcome, Outcome::Retry { .. }));
    assert!(mailbox.probe(&"a@x.io".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn foreign_files_are_shown_as_well_as_they_can_be() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("1.eml"), b"\xff\xfe no mail at all").unwrap();
    let mailbox = DevMailbox::open(directory.path()).await.unwrap();
    let (page, _) = mailbox.list(0, 9).await.unwrap();
    assert_eq!(page.len(), 1);
    assert!(mailbox.read("1.eml").await.unwrap().is_some());
}
