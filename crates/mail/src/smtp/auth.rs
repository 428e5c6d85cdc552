//! AUTH PLAIN, else AUTH LOGIN.
//!
//! Lines with the password live in buffers that are wiped; no error carries them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use secrecy::zeroize::Zeroizing;

use super::connection::{Connection, Failed, positive};
use super::error::WireError;
use super::options::Credentials;
use crate::outcome::Stage;

impl Connection {
    pub(super) async fn authenticate(&mut self, credentials: &Credentials) -> Result<(), Failed> {
        let password = credentials.password.expose_secret();
        if self.capabilities.auth_plain {
            let plain = Zeroizing::new(format!("\0{}\0{password}", credentials.username));
            let line = Zeroizing::new(format!("AUTH PLAIN {}\r\n", *encoded(plain.as_bytes())));
            let reply = self.command(Stage::Auth, &line).await?;
            positive(Stage::Auth, reply)?;
            return Ok(());
        }
        if !self.capabilities.auth_login {
            let text = "a user name is set but the server offers neither AUTH PLAIN nor AUTH LOGIN";
            return Err(Failed { stage: Stage::Auth, error: WireError::Config(text.into()) });
        }
        self.prompted("AUTH LOGIN\r\n").await?;
        self.prompted(&format!("{}\r\n", *encoded(credentials.username.as_bytes()))).await?;
        let line = Zeroizing::new(format!("{}\r\n", *encoded(password.as_bytes())));
        let reply = self.command(Stage::Auth, &line).await?;
        positive(Stage::Auth, reply)?;
        Ok(())
    }

    /// Sends a line that must be answered by 334.
    async fn prompted(&mut self, line: &str) -> Result<(), Failed> {
        let reply = self.command(Stage::Auth, line).await?;
        if reply.code == 334 {
            return Ok(());
        }
        positive(Stage::Auth, reply)?;
        Err(Failed {
            stage: Stage::Auth,
            error: WireError::Nonsense("AUTH LOGIN was not answered by a prompt"),
        })
    }
}

fn encoded(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(bytes))
}
