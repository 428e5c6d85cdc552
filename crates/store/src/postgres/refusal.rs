//! Why a server is not talked to: its certificate, no TLS, a password in clear. Each says what to do about it.
//!
//! Large clouds sign their databases with authorities of their own, which no machine trusts by itself: the text says
//! where that certificate is had.

use std::{error::Error, fmt, io};

use backshift_core::way::Authority;
use rustls::CertificateError;

/// A refusal of ours; no retry mends it.
#[derive(Debug)]
pub(super) struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refusal {}

impl Refusal {
    /// The server has no TLS and it is needed.
    pub(super) fn no_tls(host: &str) -> Self {
        Self(format!(
            "PostgreSQL at {host} offers no TLS: switch it on there (ssl = on), or, where nobody else can reach the way \
             between, write sslmode=disable into the database URL (POSTGRES_SSLMODE)"
        ))
    }

    /// The server asks for the password itself on a way that is not safe.
    pub(super) fn clear_password(host: &str) -> Self {
        Self(format!(
            "PostgreSQL at {host} asks for the password in clear, and nothing shows that it is the right server: the \
             password was not sent. Use sslmode=verify-full, or scram-sha-256 in the server's pg_hba.conf"
        ))
    }

    /// This error as a refusal of ours, wherever it is wrapped.
    pub(super) fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()))
    }
}

/// What the texts about certificates need to know.
#[derive(Debug)]
pub(super) struct Remedy {
    pub(super) authority: Authority,
    /// No authority is known at all.
    pub(super) nobody_trusted: bool,
}

impl Remedy {
    /// A failed handshake, explained when it is about the certificate.
    pub(super) fn explain(
        &self,
        host: &str,
        error: Box<dyn Error + Send + Sync>,
    ) -> Box<dyn Error + Send + Sync> {
        let Some(rustls::Error::InvalidCertificate(cause)) = tls_error(&*error) else { return error };
        let text = match cause {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
                "it is for another name ({cause}); write the name that stands in it as the host of the database URL"
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "it has expired; renew it on the server".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "it is not valid yet; is this machine's clock right?".to_owned()
            }
            _ => self.unknown_signer(host, cause),
        };
        Refusal(format!(
            "the certificate of PostgreSQL at {host} is not accepted: {text}. sslmode=require would encrypt without \
             checking who answers"
        ))
        .into()
    }

    fn unknown_signer(&self, host: &str, cause: &CertificateError) -> String {
        let machine =
            if self.nobody_trusted { " (this machine trusts nobody: install ca-certificates)" } else { "" };
        let cloud = cloud(host).map(|where_| format!(". {where_}")).unwrap_or_default();
        format!(
            "{} did not sign it ({cause}){machine}; name the PEM file of the authority that did, as sslrootcert in the \
             database URL or as database.ca_file (BACKSHIFT_DATABASE_CA_FILE){cloud}",
            self.authority
        )
    }
}

fn tls_error<'a>(error: &'a (dyn Error + Send + Sync + 'static)) -> Option<&'a rustls::Error> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()))
}

/// Where the providers' own authorities are had.
const CLOUDS: [(&str, &str); 9] = [
    (
        ".supabase.co",
        "Supabase: dashboard, Project Settings, Database, SSL Configuration, Download certificate",
    ),
    (
        ".supabase.com",
        "Supabase: dashboard, Project Settings, Database, SSL Configuration, Download certificate",
    ),
    (
        ".rds.amazonaws.com",
        "Amazon RDS and Aurora: https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
    ),
    (
        ".postgres.database.azure.com",
        "Azure: DigiCert Global Root G2 and Microsoft RSA Root Certificate Authority 2017",
    ),
    (
        ".sql.goog",
        "Google Cloud SQL: the instance's Connections page, Security, Download certificates (server-ca.pem)",
    ),
    (".ondigitalocean.com", "DigitalOcean: the cluster's Connection details, Download CA certificate"),
    (".aivencloud.com", "Aiven: the service's Overview, CA certificate (ca.pem)"),
    (".postgresbridge.com", "Crunchy Bridge: the team's Settings, Team certificate"),
    (".databases.appdomain.cloud", "IBM Cloud: the deployment's Overview, Endpoints, TLS certificate"),
];

fn cloud(host: &str) -> Option<&'static str> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    CLOUDS.iter().find(|(suffix, _)| host.ends_with(suffix)).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(host: &str, cause: CertificateError) -> String {
        let remedy = Remedy { authority: Authority::System, nobody_trusted: false };
        let error = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(cause));
        remedy.explain(host, error.into()).to_string()
    }

    #[test]
    fn an_unknown_signer_is_answered_with_the_setting_and_where_the_certificate_is_had() {
        for (host, word) in [
            ("db.abcdefgh.supabase.co", "Download certificate"),
            ("aws-0-eu-central-1.pooler.supabase.com", "Download certificate"),
            ("x.eu-west-1.rds.amazonaws.com", "global-bundle.pem"),
            ("X.RDS.AMAZONAWS.COM.", "global-bundle.pem"),
            ("db.example", "sslrootcert"),
        ] {
            let text = explained(host, CertificateError::UnknownIssuer);
            assert!(text.contains(word) && text.contains("database.ca_file"), "{text}");
        }
        assert!(!explained("supabase.co.evil.example", CertificateError::UnknownIssuer).contains("Supabase"));
        assert!(explained("db.example", CertificateError::Expired).contains("expired"));
        assert!(explained("db.example", CertificateError::NotValidForName).contains("another name"));
    }
}
