//! Mail.

pub mod address;
pub mod decode;
pub mod email;
pub mod masking;
pub mod message;
pub mod named_address;

pub use address::{AddressError, EmailAddress};
pub use decode::{Malformed, decode};
pub use email::{Attachment, EmailData};
pub use message::{ComposeError, Composer, Envelope, Limits, Message, html_to_text};
pub use named_address::NamedAddress;
