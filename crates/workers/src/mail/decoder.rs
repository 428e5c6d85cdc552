//! Says whether bytes of `smtp_send_email` are a mail, before a job is made of them.

use backshift_core::{Bytes, Headers, Kind, broker::Decoder};

use super::handler::KIND;

/// The decoder of system C's binding.
#[derive(Debug, Clone, Copy, Default)]
pub struct MailDecoder;

impl Decoder for MailDecoder {
    fn decode(&self, raw: &Bytes, _: &Headers) -> Result<Kind, String> {
        backshift_mail::decode(raw).map_err(|malformed| malformed.to_string())?;
        Kind::new(KIND).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_have_a_kind_and_everything_else_a_reason() {
        let decode =
            |text: &'static str| MailDecoder.decode(&Bytes::from_static(text.as_bytes()), &Headers::new());
        assert_eq!(
            decode(r#"{"Recipient":"a@x.io","Subject":"s","Body":"b"}"#).unwrap().as_str(),
            "email.send"
        );
        assert!(decode(r#"{"Subject":"s"}"#).unwrap_err().contains("Recipient"));
        assert!(decode("[]").is_err() && decode("").is_err());
    }
}
