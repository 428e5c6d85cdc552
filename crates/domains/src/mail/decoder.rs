//! Says whether bytes of `smtp_send_email` are a mail, before a job is made of them.
//!
//! The mails of system C's own producer carry codes and say nothing about it. So the body of a mail that does not say what
//! it is stays at the broker: the ledger gets its subject and a hash of its recipient.

use backshift_core::{
    Bytes, Headers, Kind,
    broker::{Decoded, Decoder},
    wire::SENSITIVE,
};
use backshift_mail::{EmailData, MailClass};
use sha2::{Digest as _, Sha256};

use super::{MAIL_CLASS, handler::KIND};

/// In place of a body: its subject, cut.
pub const SUBJECT: &str = "backshift-mail-subject";
/// In place of a body: SHA-256 of the recipient's canonical address, in hexadecimal, as in the send log.
pub const RECIPIENT_HASH: &str = "backshift-mail-recipient-sha256";
/// Characters of a subject that are kept.
const MOST: usize = 200;

/// The decoder of system C's binding.
#[derive(Debug, Clone, Copy, Default)]
pub struct MailDecoder {
    /// Whether the ledger keeps the bodies of mails that do not say what they are (`mail.keep_foreign_bodies`).
    pub keeps_foreign_bodies: bool,
}

impl Decoder for MailDecoder {
    fn decode(&self, raw: &Bytes, headers: &Headers) -> Result<Decoded, String> {
        let email = backshift_mail::decode(raw).map_err(|malformed| malformed.to_string())?;
        let kind = Kind::new(KIND).map_err(|error| error.to_string())?;
        let says = headers.contains_key(SENSITIVE)
            || headers.get(MAIL_CLASS).is_some_and(|class| MailClass::parse(class).is_some());
        let instead = (!says && !self.keeps_foreign_bodies).then(|| facts(&email));
        Ok(Decoded { instead, ..kind.into() })
    }
}

fn facts(email: &EmailData) -> Headers {
    let hash = Sha256::digest(email.recipient.address.canonical());
    let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let subject = email.subject.chars().take(MOST).collect();
    [(SUBJECT.to_owned(), subject), (RECIPIENT_HASH.to_owned(), hash)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(decoder: MailDecoder, text: &str, headers: &[(&str, &str)]) -> Result<Decoded, String> {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        decoder.decode(&Bytes::copy_from_slice(text.as_bytes()), &headers)
    }

    const CODE: &str = r#"{"Recipient":"Lan@x.io","Subject":"OTP","Body":"<b>123456</b>"}"#;

    #[test]
    fn mails_have_a_kind_and_everything_else_a_reason() {
        let decode = |text| decode(MailDecoder::default(), text, &[]);
        assert_eq!(decode(CODE).unwrap().kind.as_str(), "email.send");
        assert!(decode(r#"{"Subject":"s"}"#).unwrap_err().contains("Recipient"));
        assert!(decode("[]").is_err() && decode("").is_err());
    }

    #[test]
    fn a_body_that_says_nothing_of_itself_is_not_kept() {
        let instead = decode(MailDecoder::default(), CODE, &[]).unwrap().instead.unwrap();
        let hash = Sha256::digest("lan@x.io").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!((instead[SUBJECT].as_str(), &instead[RECIPIENT_HASH]), ("OTP", &hash));
        assert!(instead.values().all(|kept| !kept.contains("123456") && !kept.contains("lan@")));
        let odd = decode(MailDecoder::default(), CODE, &[(MAIL_CLASS, "nonsense")]);
        assert!(odd.unwrap().instead.is_some(), "a class that nobody knows is none");
        for says in [(MAIL_CLASS, "marketing"), (SENSITIVE, "true")] {
            assert_eq!(decode(MailDecoder::default(), CODE, &[says]).unwrap().instead, None, "{says:?}");
        }
        let keeps = MailDecoder { keeps_foreign_bodies: true };
        assert_eq!(decode(keeps, CODE, &[]).unwrap().instead, None);
        let long = CODE.replace("OTP", &"é".repeat(100_000));
        assert_eq!(decode(MailDecoder::default(), &long, &[]).unwrap().instead.unwrap()[SUBJECT].len(), 400);
    }
}
